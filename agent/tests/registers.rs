//! What `ebpf/src/registers/` says of each architecture, against the kernel's headers. The kernel
//! programs themselves cannot be run here; they read these very tables.

use std::collections::HashMap;

#[path = "../../ebpf/src/registers/aarch64.rs"]
mod aarch64;
#[path = "../../ebpf/src/registers/x86_64.rs"]
mod x86_64;

/// The numbers in an architecture's table, by the kernel's names of the calls.
macro_rules! numbers {
    ($architecture:ident) => {{
        use $architecture::number::*;
        [
            ("read", READ),
            ("write", WRITE),
            ("readv", READV),
            ("writev", WRITEV),
            ("sendfile", SENDFILE),
            ("splice", SPLICE),
            ("sendto", SENDTO),
            ("recvfrom", RECVFROM),
            ("sendmsg", SENDMSG),
            ("recvmsg", RECVMSG),
            ("recvmmsg", RECVMMSG),
            ("sendmmsg", SENDMMSG),
            ("preadv2", PREADV2),
            ("pwritev2", PWRITEV2),
        ]
    }};
}

/// The numbers that a header defines, by name. A name may be defined as another name.
fn header(text: &str) -> HashMap<&str, u64> {
    let defined: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#define __NR"))
        .filter_map(|rest| rest.split_once(' '))
        .collect();
    let number = |value: &str| -> Option<u64> {
        let value = value.trim();
        let value = match value.strip_prefix("__NR") {
            Some(other) => defined.get(other)?.trim(),
            None => value,
        };
        value.parse().ok()
    };
    let known = defined.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix('_')?;
        Some((name, number(value)?))
    });
    known.collect()
}

/// Compares a table with the first of `headers` that there is (package linux-libc-dev; a cross
/// compiler's in the last place).
#[track_caller]
fn check(headers: &[&str], table: &[(&str, u64)]) {
    let read = |path: &&str| std::fs::read_to_string(path).ok();
    let Some(text) = headers.iter().find_map(read) else {
        // Each architecture's own are everywhere, the others' are not.
        eprintln!("skipped: none of {} is there", headers.join(", "));
        return;
    };
    let known = header(&text);
    for &(name, number) in table {
        assert_eq!(known.get(name), Some(&number), "{name}");
    }
}

#[test]
fn call_numbers_of_x86_64() {
    let headers = [
        "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        "/usr/include/asm/unistd_64.h",
        "/usr/x86_64-linux-gnu/include/asm/unistd_64.h",
    ];
    check(&headers, &numbers!(x86_64));
}

/// arm64 uses the table for all new architectures.
#[test]
fn call_numbers_of_aarch64() {
    check(&["/usr/include/asm-generic/unistd.h"], &numbers!(aarch64));
}

/// Registers whose eight-byte word `n` holds `n`, but for those given.
fn words<const N: usize>(set: &[(usize, u64)]) -> [u64; N] {
    let mut words = std::array::from_fn(|word| word as u64);
    for &(word, value) in set {
        words[word] = value;
    }
    words
}

/// Places: `struct pt_regs` of arch/x86/include/asm/ptrace.h (asm/ptrace-abi.h numbers the words).
#[test]
fn registers_of_x86_64() {
    const CS: usize = 17;
    let call = |selector| {
        let words: [u64; 21] = words(&[(CS, selector)]);
        assert!(size_of_val(&words) >= size_of::<x86_64::Registers>());
        // SAFETY: they are as many words, and as aligned.
        unsafe { x86_64::Registers::call(words.as_ptr().cast()) }
    };
    // ORIG_RAX; RDI, RSI, RDX, R10.
    assert_eq!(call(0x33), Some((15, [14, 13, 12, 7])));
    // `__USER32_CS`, and the kernel's own.
    assert_eq!(call(0x23), None);
    assert_eq!(call(0x10), None);
}

/// Places: `struct pt_regs` of arch/arm64/include/asm/ptrace.h.
#[test]
fn registers_of_aarch64() {
    const PSTATE: usize = 33;
    let call = |state, number| {
        let words: [u64; 42] = words(&[(PSTATE, state), (35, number)]);
        assert!(size_of_val(&words) >= size_of::<aarch64::Registers>());
        // SAFETY: they are as many words, and as aligned.
        unsafe { aarch64::Registers::call(words.as_ptr().cast()) }
    };
    // Flags that arithmetic sets do not matter; nor what is in the upper half of the number's word.
    assert_eq!(
        call(0xf000_0000, 0xe0 << 32 | 206),
        Some((206, [34, 1, 2, 3]))
    );
    // `NO_SYSCALL`: no call's number.
    assert_eq!(call(0, u64::MAX).unwrap().0, u64::from(u32::MAX));
    // PSR_MODE32_BIT; PSR_MODE_EL1h, as the kernel's own threads have it.
    assert_eq!(call(0x10, 4), None);
    assert_eq!(call(0x5, 4), None);
}
