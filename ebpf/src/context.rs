//! Which requests a task and a process are serving, and what that says about a request that they
//! send. The agent's rules are the same (`agent/src/stitch/parent.rs`); here they are decided while
//! the bytes are leaving, because the context leaves with them.
//!
//! Followed are processes that send requests, and others until they have served [`TRIAL`] without
//! sending one: from then on they pay one look-up per request.
//!
//! **Sums.** A task or a process may serve any number of requests, and what matters is only whether
//! it is exactly one, and which. So nothing is listed: what is served is added up, word by word, and
//! taken off again at its end. While the count is one, the sums are the request. A check word tells
//! when two processors were at it at the same time.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    btf_maps::{Array, HashMap},
    helpers::generated::{bpf_get_prandom_u32, bpf_ktime_get_ns},
    macros::btf_map,
};
use clew_common::{
    context::{AMBIGUOUS, BY_PROCESS, BY_THREAD, Followed, NOT_SERVING, SAMPLED, SHARED, habit},
    event::Kind,
};
use core::{arch::asm, cell::UnsafeCell};

use crate::{
    kernel::{keeps, resamples},
    output,
};

/// A trace, as the two halves of its id in the order of the wire, and its flags.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Trace {
    pub id: [u64; 2],
    pub flags: u32,
}

impl Trace {
    /// In place of one where there is none.
    pub const NONE: Self = Self {
        id: [0; 2],
        flags: 0,
    };

    /// A trace that begins now.
    #[inline(always)]
    pub fn begun() -> Self {
        // Not all zero; the other half must be random in full (W3C Trace Context Level 2).
        Self::decided([random() | 1, random()])
    }

    /// A trace that came from elsewhere with these flags.
    #[inline(always)]
    pub fn inherited(id: [u64; 2], flags: u32) -> Self {
        if resamples() {
            Self::decided(id)
        } else {
            Self { id, flags }
        }
    }

    #[inline(always)]
    fn decided(id: [u64; 2]) -> Self {
        Self {
            id,
            flags: clew_decide(id[1]),
        }
    }
}

/// The flags of a trace about which is decided here, whose id ends so.
///
/// A global function: where all traces or none are kept the verifier would know the flags, follow them apart
/// from those of other traces, and come to no end. Of such a function's result it knows nothing.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn clew_decide(id_low: u64) -> u32 {
    if keeps(u64::from_be(id_low)) {
        SAMPLED
    } else {
        0
    }
}

/// 64 random bits. Ids are names, not secrets.
#[inline(always)]
pub fn random() -> u64 {
    // SAFETY: the helper has no conditions.
    unsafe { u64::from(bpf_get_prandom_u32()) << 32 | u64::from(bpf_get_prandom_u32()) }
}

/// A request that is being served.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Served {
    /// Its trace's id.
    trace: [u64; 2],
    /// The connection that brought it.
    pub connection: u64,
    /// [`SAMPLED`], [`NONBLOCKING`].
    flags: u64,
}

/// [`Served::flags`]: its connection does not block.
const NONBLOCKING: u64 = 1 << 16;
/// [`Served::flags`]: which trace it belongs to could not be seen. Sums of the other flags do not
/// reach it.
const UNSEEN: u64 = 1 << 40;

impl Served {
    pub const NONE: Self = Self {
        trace: [0; 2],
        connection: 0,
        flags: 0,
    };

    #[inline(always)]
    pub fn new(trace: Trace, connection: u64, nonblocking: bool) -> Self {
        Self {
            trace: trace.id,
            connection,
            flags: u64::from(trace.flags) | if nonblocking { NONBLOCKING } else { 0 },
        }
    }

    /// A request whose head could not be read, which may name a context.
    #[inline(always)]
    pub fn unseen(connection: u64) -> Self {
        Self {
            trace: [0; 2],
            connection,
            flags: UNSEEN,
        }
    }

    #[inline(always)]
    fn trace(&self) -> Trace {
        Trace {
            id: self.trace,
            flags: self.flags as u32 & SAMPLED,
        }
    }

    /// A word that is not the sum of those of others.
    #[inline(always)]
    fn check(&self) -> u64 {
        (self.trace[0] ^ self.trace[1].rotate_left(17) ^ self.connection.rotate_left(43))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// A number that several processors may add to at a time. `core`'s atomics have no addition for this
/// target, because it lacks compare-and-swap before kernel 5.12.
#[repr(transparent)]
pub struct Shared(UnsafeCell<u64>);

// SAFETY: it is read and written whole, and added to by one instruction.
unsafe impl Sync for Shared {}

impl Shared {
    const fn new(value: u64) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[inline(always)]
    pub fn load(&self) -> u64 {
        // SAFETY: aligned, and never gone while a program runs.
        unsafe { core::ptr::read_volatile(self.0.get()) }
    }

    /// Writes it whole, where nobody else can be at it.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(self.0.get(), value) }
    }

    #[inline(always)]
    pub fn add(&self, amount: u64) {
        // SAFETY: as above.
        unsafe {
            asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) self.0.get(), in(reg) amount);
        }
    }
}

/// What is being served, added up.
#[repr(C)]
struct Sum {
    count: Shared,
    trace: [Shared; 2],
    connection: Shared,
    flags: Shared,
    check: Shared,
}

/// What a [`Sum`] says.
struct Seen {
    /// How many requests are being served: none, one, or more (and then 2).
    number: u32,
    /// The one. It has a value in every case: the verifier refuses to copy what was never written.
    one: Served,
}

impl Sum {
    const fn new() -> Self {
        Self {
            count: Shared::new(0),
            trace: [Shared::new(0), Shared::new(0)],
            connection: Shared::new(0),
            flags: Shared::new(0),
            check: Shared::new(0),
        }
    }

    /// Adds a request (`sign` 1), or takes it off (`sign` -1).
    #[inline(always)]
    fn add(&self, served: &Served, sign: i64) {
        let signed = |word: u64| {
            if sign < 0 { word.wrapping_neg() } else { word }
        };
        self.count.add(signed(1));
        self.trace[0].add(signed(served.trace[0]));
        self.trace[1].add(signed(served.trace[1]));
        self.connection.add(signed(served.connection));
        self.flags.add(signed(served.flags));
        self.check.add(signed(served.check()));
    }

    #[inline(always)]
    fn read(&self) -> Seen {
        let one = Served {
            trace: [self.trace[0].load(), self.trace[1].load()],
            connection: self.connection.load(),
            flags: self.flags.load(),
        };
        let number = match self.count.load() {
            0 => 0,
            1 if one.check() == self.check.load() => 1,
            _ => 2,
        };
        Seen { number, one }
    }
}

/// What is known of a process.
#[repr(C)]
struct Process {
    open: Sum,
    flags: Shared,
    /// How many requests it has begun to serve.
    opened: Shared,
}

/// What a task was begun for: a request that another task served. See
/// docs/decisions/0012-offspring-of-a-request.md.
#[derive(Clone, Copy)]
#[repr(C)]
struct Begun {
    /// Who serves the request: process and thread id.
    server: u64,
    /// The connection that brought it.
    connection: u64,
    /// How many requests the serving process had begun to serve by then, if it had no other open;
    /// else 0.
    alone: u64,
}

/// Tasks that were begun for a request, by process and thread id, until they end.
#[btf_map]
static OFFSPRING: HashMap<u64, Begun, 16384> = HashMap::new();

/// [`Process::flags`]: it has connections on which it may serve.
const SERVES: u64 = 1 << 0;
/// [`Process::flags`]: it sends requests.
const CALLS: u64 = 1 << 1;
/// [`Process::flags`]: it was seen to begin, and so has served nothing that was not seen.
const NEW: u64 = 1 << 2;
/// [`Process::flags`]: it receives requests in ways that bring no context to the kernel (Unix
/// sockets): nothing can be said.
const OPAQUE: u64 = 1 << 3;
/// [`Process::flags`]: it was not followed for a while, because it did not call.
const RESTED: u64 = 1 << 4;

/// A process that has served so many requests without a call of its own is followed no more, until
/// it calls.
const TRIAL: u64 = 64;

/// Processes that have connections. One that finds no room is taken for one that serves nothing: its
/// requests begin traces.
#[btf_map]
static PROCESSES: HashMap<u32, Process, 16384> = HashMap::new();

/// What is put into [`PROCESSES`] and [`TASKS`] at first. Not made on the stack, of which the programs
/// have 512 bytes with all that they call.
static UNKNOWN: Process = Process {
    open: Sum::new(),
    flags: Shared::new(0),
    opened: Shared::new(0),
};
static NOTHING_SERVED: Sum = Sum::new();

/// Tasks that have served a request, by process and thread id, until they end.
#[btf_map]
static TASKS: HashMap<u64, Sum, 32768> = HashMap::new();

/// How many processes have begun to call.
#[btf_map]
static CALLERS: Array<Shared, 1> = Array::new();

/// What the agent has learned of a process.
#[btf_map]
static HABITS: HashMap<u32, u32, 16384> = HashMap::new();

#[inline(always)]
fn process(pid: u32) -> Option<&'static Process> {
    // SAFETY: entries are not freed while a program runs; its fields are atomic.
    unsafe { PROCESSES.get_ptr(pid)?.as_ref() }
}

#[inline(always)]
fn habits(pid: u32) -> u32 {
    // SAFETY: a plain number, copied.
    unsafe { HABITS.get(pid) }.copied().unwrap_or(0)
}

#[inline(always)]
fn mark(pid: u32, flags: u64) {
    if process(pid).is_none() {
        // Another processor may have been faster; its entry will do.
        let _ = PROCESSES.insert(pid, &UNKNOWN, u64::from(BPF_NOEXIST));
    }
    if let Some(process) = process(pid) {
        // The same flag is not set twice: that would need a read-modify-write which 5.10 lacks.
        let missing = flags & !process.flags.load();
        if missing != 0 {
            process.flags.add(missing);
        }
        // After the flag: who has read the number before looks at the flag again.
        if missing & CALLS != 0
            && let Some(callers) = CALLERS.get(0)
        {
            callers.add(1);
        }
    }
}

/// A process has begun.
#[inline(always)]
pub fn born(pid: u32) {
    if process(pid).is_none() {
        mark(pid, NEW);
    }
}

/// A process uses a connection on which it may receive requests.
#[inline(always)]
pub fn may_serve(pid: u32) {
    let flags = match process(pid) {
        Some(process) => process.flags.load(),
        None => 0,
    };
    if flags & SERVES == 0 {
        mark(pid, SERVES);
        if flags & NEW == 0 {
            tell_followed(pid, false);
        }
    }
}

/// A process receives requests whose contexts the kernel does not see.
#[inline(always)]
pub fn is_opaque(pid: u32) {
    mark(pid, OPAQUE);
}

/// A process connects to another.
#[inline(always)]
pub fn connects(pid: u32) {
    match process(pid) {
        None => mark(pid, CALLS),
        Some(process) => calls(pid, process),
    }
}

/// A process sends a request.
#[inline(always)]
fn calls(pid: u32, process: &Process) {
    if process.flags.load() & CALLS != 0 {
        return;
    }
    if process.opened.load() < TRIAL {
        mark(pid, CALLS);
    } else {
        mark(pid, CALLS | RESTED);
        tell_followed(pid, true);
    }
}

/// Tells the agent that what a process serves is followed from now on, once again or for the first
/// time. Of what it is serving already only the agent knows when it is over.
#[inline(always)]
fn tell_followed(pid: u32, again: bool) {
    output::event(&Followed {
        kind: Kind::ProcessFollowed as u32,
        pid,
        // SAFETY: the helper has no conditions.
        time: unsafe { bpf_ktime_get_ns() },
        again: u32::from(again),
        reserved: 0,
    });
}

impl Process {
    #[inline(always)]
    fn is_followed(&self) -> bool {
        self.flags.load() & CALLS != 0 || self.opened.load() < TRIAL
    }

    /// Whether it surely serves nothing at present.
    #[inline(always)]
    fn is_idle(&self, pid: u32) -> bool {
        self.is_followed() && self.is_settled(habits(pid)) && self.open.count.load() == 0
    }

    /// Whether everything that it serves is known here.
    #[inline(always)]
    fn is_settled(&self, habits: u32) -> bool {
        let flags = self.flags.load();
        if flags & RESTED != 0 {
            habits & habit::SETTLED_AGAIN != 0
        } else {
            flags & NEW != 0 || habits & habit::SETTLED != 0
        }
    }
}

/// A task has begun another, a thread or a process.
#[inline(always)]
pub fn begun(parent: u64, child: u64) {
    let begun = match OFFSPRING.get_ptr(parent) {
        // SAFETY: entries are not freed while a program runs.
        Some(begun) => unsafe { *begun },
        None => {
            let pid = (parent >> 32) as u32;
            let Some(process) = process(pid) else {
                return;
            };
            let is_process = parent >> 32 != child >> 32;
            let seen = match task(parent) {
                Some(serves) => serves.read(),
                None => Seen {
                    number: 0,
                    one: Served::NONE,
                },
            };
            if seen.number == 1 {
                let alone = process.open.read().number == 1;
                Begun {
                    server: parent,
                    connection: seen.one.connection,
                    alone: if alone { process.opened.load() } else { 0 },
                }
            } else if is_process && process.flags.load() & SERVES != 0 && !process.is_idle(pid) {
                // What the creator serves is not known here, because its process has not sent
                // anything itself for long, or serves more than one: whose the new process is, the
                // agent knows.
                calls(pid, process);
                Begun {
                    server: parent,
                    connection: 0,
                    alone: 0,
                }
            } else {
                return;
            }
        }
    };
    // Without room it is judged as if nothing were known of its beginning.
    let _ = OFFSPRING.insert(child, begun, 0);
}

/// A thread has ended.
#[inline(always)]
pub fn thread_exited(caller: u64) {
    // It may not be there.
    let _ = TASKS.remove(caller);
    let _ = OFFSPRING.remove(caller);
}

/// A process has ended.
#[inline(always)]
pub fn process_exited(pid: u32) {
    // It may not be there.
    let _ = PROCESSES.remove(pid);
}

/// Whether what a process serves is to be followed; `None` of one that is not known, and may be later.
#[inline(always)]
pub fn is_followed(pid: u32) -> Option<bool> {
    process(pid).map(Process::is_followed)
}

/// A number, never 0, that stays the same as long as no known process that was not followed is. To be read
/// before [`is_followed`].
#[inline(always)]
pub fn unfollowed() -> u32 {
    let callers = CALLERS.get(0).map_or(0, Shared::load);
    callers as u32 | 1 << 31
}

/// A task begins to serve a request.
#[inline(always)]
pub fn begin(caller: u64, served: &Served) {
    if let Some(process) = process((caller >> 32) as u32) {
        process.open.add(served, 1);
        process.opened.add(1);
    }
    if task(caller).is_none() {
        let _ = TASKS.insert(caller, &NOTHING_SERVED, u64::from(BPF_NOEXIST));
    }
    if let Some(task) = task(caller) {
        task.add(served, 1);
    }
}

/// The request that `caller` began to serve is over.
#[inline(always)]
pub fn end(caller: u64, served: &Served) {
    if let Some(process) = process((caller >> 32) as u32) {
        process.open.add(served, -1);
    }
    if let Some(task) = task(caller) {
        task.add(served, -1);
    }
}

#[inline(always)]
fn task(caller: u64) -> Option<&'static Sum> {
    // SAFETY: entries are not freed while a program runs; its fields are atomic.
    unsafe { TASKS.get_ptr(caller)?.as_ref() }
}

/// Why a message that is being sent has the context that it has.
pub struct Decision {
    pub trace: Trace,
    /// One of [`clew_common::context`]'s origins of sent messages.
    pub origin: u32,
    /// The connection that brought the causing request, or 0.
    pub cause: u64,
}

impl Decision {
    #[inline(always)]
    fn because_of(served: &Served, origin: u32) -> Self {
        Self {
            trace: served.trace(),
            origin,
            cause: served.connection,
        }
    }

    #[inline(always)]
    pub fn nothing(origin: u32) -> Self {
        Self {
            trace: Trace::begun(),
            origin,
            cause: 0,
        }
    }
}

/// The context of a request that `caller` is about to send; `None` where the kernel cannot say, and
/// the agent may still find out (and the request leaves without). `is_nonblocking`: whether its connection
/// does not block.
#[inline(always)]
pub fn decide(caller: u64, is_nonblocking: impl FnOnce() -> bool) -> Option<Decision> {
    let pid = (caller >> 32) as u32;
    let on_task = match task(caller) {
        Some(task) => task.read(),
        None => Seen {
            number: 0,
            one: Served::NONE,
        },
    };
    if on_task.number == 0
        && let Some(begun) = OFFSPRING.get_ptr(caller)
    {
        // SAFETY: entries are not freed while a program runs.
        return for_request(unsafe { *begun }, pid);
    }
    let Some(process) = process(pid) else {
        return Some(Decision::nothing(NOT_SERVING));
    };
    let flags = process.flags.load();
    let habits = habits(pid);
    if habits & habit::OPAQUE != 0 || flags & OPAQUE != 0 {
        return None;
    }
    if flags & SERVES == 0 {
        return Some(Decision::nothing(NOT_SERVING));
    }
    calls(pid, process);
    let settled = process.is_settled(habits);
    let background = habits & habit::BACKGROUND != 0;
    let in_process = process.open.read();
    if on_task.one.flags >= UNSEEN || in_process.one.flags >= UNSEEN {
        return None;
    }
    if on_task.number == 1 {
        let alone = settled && !background && in_process.number == 1;
        if alone || proves(&on_task.one, habits) {
            return Some(Decision::because_of(&on_task.one, BY_THREAD));
        }
        return if settled {
            Some(Decision::nothing(SHARED))
        } else {
            None
        };
    }
    if !settled {
        return None;
    }
    if on_task.number > 1
        && (on_task.one.flags / NONBLOCKING) as u16 == 0
        && habits & habit::MULTIPLEXES_BLOCKING == 0
    {
        // No thread serves two connections that block: one is over, and its end was not seen here.
        return None;
    }
    if on_task.number > 1 || in_process.number > 1 {
        return Some(Decision::nothing(AMBIGUOUS));
    }
    if in_process.number == 0 {
        return Some(Decision::nothing(NOT_SERVING));
    }
    let served = &in_process.one;
    let shares =
        served.flags & NONBLOCKING != 0 || habits & habit::HANDS_OVER != 0 || is_nonblocking();
    if shares && !background {
        Some(Decision::because_of(served, BY_PROCESS))
    } else {
        Some(Decision::nothing(SHARED))
    }
}

/// Whether the one request that a thread serves must be the cause of what the thread sends.
#[inline(always)]
fn proves(served: &Served, habits: u32) -> bool {
    if served.flags & NONBLOCKING != 0 {
        habits & habit::STABLE != 0
    } else {
        habits & habit::MULTIPLEXES_BLOCKING == 0
    }
}

/// The context of what a task sends that was begun for a request and serves none itself. Process
/// `pid` is the task's.
#[inline(always)]
fn for_request(begun: Begun, pid: u32) -> Option<Decision> {
    let server = (begun.server >> 32) as u32;
    let process = process(server)?;
    let serves = task(begun.server)?.read();
    if serves.number != 1 || serves.one.connection != begun.connection || serves.one.flags >= UNSEEN
    {
        // It may be over, and whose the task is now the agent knows better.
        return None;
    }
    let habits = habits(server);
    let settled = process.is_settled(habits);
    let proven = proves(&serves.one, habits);
    let alone = settled && begun.alone != 0 && process.opened.load() == begun.alone;
    let shown = if pid == server {
        habits & habit::THREADS_END
    } else {
        habits & habit::PROCESSES_END
    };
    let background = habits & habit::BACKGROUND != 0;
    if habits & habit::OPAQUE == 0 && (alone && (proven || !background) || proven && shown != 0) {
        Some(Decision::because_of(&serves.one, BY_THREAD))
    } else {
        None
    }
}
