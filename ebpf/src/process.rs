//! Processes that start a program, fork and exit, and threads that begin and end.
//!
//! Each thread of a process that is not left out costs two small records. Which of them matter,
//! because their creator serves a request, user space knows.

use aya_ebpf::{
    btf_maps::PerCpuArray,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{
            bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_ktime_get_ns, bpf_probe_read_user,
        },
    },
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use aya_log_ebpf::debug;
use clew_common::{
    counter::Counter,
    event::Kind,
    process::{ARGUMENTS_MAX, ENVIRONMENT_MAX, Exec, Exit, Fork},
};
use core::ffi::c_void;

use crate::{
    context,
    flow::is_excluded,
    inject,
    kernel::{follows, offset, own_pid, read_kernel, read_pointer},
    output,
};

/// Room for one record: both strings at their maximum, and once more the larger for the verifier.
#[repr(C)]
struct Record {
    header: Exec,
    data: [u8; ARGUMENTS_MAX + 2 * ENVIRONMENT_MAX],
}

#[btf_map]
static EXEC_RECORD: PerCpuArray<Record, 1> = PerCpuArray::new();

/// `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
/// (include/trace/events/sched.h), in the context of the process.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(ctx: BtfTracePointContext) -> i32 {
    if follows() {
        context::born((bpf_get_current_pid_tgid() >> 32) as u32);
    }
    if try_exec(ctx.arg(0)).is_none() {
        debug!(&ctx, "a process started whose arguments could not be read");
    }
    0
}

#[inline(always)]
fn try_exec(task: *const c_void) -> Option<()> {
    let record = EXEC_RECORD.get_ptr_mut(0)?;
    let memory = read_pointer(task, offset!(task_mm))?;
    let arguments = read_kernel::<u64>(memory, offset!(mm_arg_start))?;
    let arguments_end = read_kernel::<u64>(memory, offset!(mm_arg_end))?;
    let environment = read_kernel::<u64>(memory, offset!(mm_env_start))?;
    let environment_end = read_kernel::<u64>(memory, offset!(mm_env_end))?;
    let parent = read_pointer(task, offset!(task_parent))?;
    // SAFETY: the slot is this processor's own; lengths are bounded before each use.
    unsafe {
        let data = (&raw mut (*record).data).cast::<u8>();
        let arguments_len = copy_strings(data, arguments, arguments_end, ARGUMENTS_MAX as u32);
        let place = arguments_len as usize & (2 * ARGUMENTS_MAX - 1);
        let environment_len = copy_strings(
            data.add(place),
            environment,
            environment_end,
            ENVIRONMENT_MAX as u32,
        );
        (*record).header = Exec {
            kind: Kind::ProcessExec as u32,
            pid: read_kernel::<u32>(task, offset!(task_tgid))?,
            parent: read_kernel::<u32>(parent, offset!(task_tgid))?,
            reserved: 0,
            time: bpf_ktime_get_ns(),
            cgroup: bpf_get_current_cgroup_id(),
            name: [0; 16],
            arguments_len,
            environment_len,
        };
        bpf_get_current_comm((&raw mut (*record).header.name).cast(), 16);
        let mut length = arguments_len + environment_len;
        if length > (ARGUMENTS_MAX + ENVIRONMENT_MAX) as u32 {
            length = (ARGUMENTS_MAX + ENVIRONMENT_MAX) as u32;
        }
        output::output(
            record.cast(),
            size_of::<Exec>() as u32 + length,
            Counter::EventRingFull,
        );
    }
    Some(())
}

/// Copies `[from, to)` of user memory, cut at `max`, and returns how much.
#[inline(always)]
unsafe fn copy_strings(target: *mut u8, from: u64, to: u64, max: u32) -> u32 {
    let mut length = to.wrapping_sub(from);
    if length > u64::from(max) {
        length = u64::from(max);
    }
    // SAFETY: `target` has room for `max` bytes, promised by the caller.
    if unsafe { bpf_probe_read_user(target.cast(), length as u32, from as *const c_void) } == 0 {
        length as u32
    } else {
        0
    }
}

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(ctx: BtfTracePointContext) -> i32 {
    let _ = try_fork(ctx.arg(0), ctx.arg(1));
    0
}

#[inline(always)]
fn try_fork(parent: *const c_void, child: *const c_void) -> Option<()> {
    let pid = read_kernel::<u32>(child, offset!(task_tgid))?;
    let tid = read_kernel::<u32>(child, offset!(task_pid))?;
    if tid != pid && is_silent(pid) {
        return None;
    }
    let parent_pid = read_kernel::<u32>(parent, offset!(task_tgid))?;
    let parent_tid = read_kernel::<u32>(parent, offset!(task_pid))?;
    if tid == pid {
        inject::inherit(parent_pid, pid);
    }
    if follows() {
        if tid == pid {
            context::born(pid);
        }
        context::begun(
            u64::from(parent_pid) << 32 | u64::from(parent_tid),
            u64::from(pid) << 32 | u64::from(tid),
        );
    }
    output::event(&Fork {
        kind: Kind::ProcessFork as u32,
        parent: parent_pid,
        parent_tid,
        pid,
        tid,
        reserved: 0,
        // SAFETY: the helper has no conditions.
        time: unsafe { bpf_ktime_get_ns() },
    });
    Some(())
}

/// Whether a process's threads are of no interest.
#[inline(always)]
fn is_silent(pid: u32) -> bool {
    pid == own_pid() || is_excluded(pid)
}

/// `sched_process_exit(struct task_struct *p, …)`; later kernels have a second argument.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(ctx: BtfTracePointContext) -> i32 {
    let _ = try_exit(ctx.arg(0));
    0
}

#[inline(always)]
fn try_exit(task: *const c_void) -> Option<()> {
    let pid = read_kernel::<u32>(task, offset!(task_tgid))?;
    let tid = read_kernel::<u32>(task, offset!(task_pid))?;
    if follows() {
        context::thread_exited(u64::from(pid) << 32 | u64::from(tid));
    }
    if tid != pid && is_silent(pid) {
        return None;
    }
    if follows() && tid == pid {
        context::process_exited(pid);
    }
    output::event(&Exit {
        kind: Kind::ProcessExit as u32,
        pid,
        tid,
        reserved: 0,
        // SAFETY: the helper has no conditions.
        time: unsafe { bpf_ktime_get_ns() },
    });
    Some(())
}
