//! The verifier's logs of refused programs: megabytes at times, so they go to files.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::kernel::{HeadersError, Loaded, ProgramReport};

/// Where logs go: a new directory that only this user may enter, made with the first of them.
#[derive(Default)]
pub(super) struct Logs {
    directory: Option<PathBuf>,
}

impl Logs {
    /// Why a program does not work, and the file with the verifier's log if there is one.
    pub(super) fn reason(&mut self, program: &ProgramReport) -> String {
        let summary = program.summary();
        let Loaded::Refused { log, .. } = &program.loaded else {
            return summary;
        };
        let hook = program.hook.replace('/', "-");
        self.keep(summary, &format!("{}-{hook}", program.name), log)
    }

    /// The same for the programs that insert headers.
    pub(super) fn reason_of_headers(&mut self, error: &HeadersError) -> String {
        match error {
            HeadersError::Program { program, log, .. } => {
                self.keep(error.to_string(), program, log)
            }
            other => other.to_string(),
        }
    }

    /// Why something does not work, with the place of its log unless that is empty.
    fn keep(&mut self, reason: String, name: &str, log: &str) -> String {
        if log.is_empty() {
            return reason;
        }
        match self.write(name, log) {
            Ok(file) => format!("{reason}; the verifier's log: {}", file.display()),
            Err(error) => format!("{reason}; the verifier's log cannot be kept: {error}"),
        }
    }

    fn write(&mut self, name: &str, log: &str) -> io::Result<PathBuf> {
        let file = self.directory()?.join(format!("{name}.log"));
        fs::write(&file, log)?;
        Ok(file)
    }

    fn directory(&mut self) -> io::Result<&Path> {
        if self.directory.is_none() {
            let directory =
                std::env::temp_dir().join(format!("clew-doctor-{}", std::process::id()));
            // It fails where there is one: what somebody else has put there is not written to.
            DirBuilder::new().mode(0o700).create(&directory)?;
            self.directory = Some(directory);
        }
        Ok(self.directory.as_deref().unwrap_or(Path::new("")))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_log_is_in_a_file_that_the_reason_names() {
        let mut program = ProgramReport {
            name: "sent_storage",
            hook: "fexit/inet_sendmsg".to_owned(),
            purpose: "",
            kernel: "5.10",
            lost: "",
            required: false,
            loaded: Loaded::Refused {
                reason: "the kernel's verifier: Invalid argument".to_owned(),
                log: "R1 is not a pointer".to_owned(),
            },
            verified: None,
        };
        let mut logs = Logs::default();
        let reason = logs.reason(&program);
        let (_, file) = reason.split_once("; the verifier's log: ").unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "R1 is not a pointer");
        let directory = Path::new(file).parent().unwrap();
        let mode = fs::metadata(directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);

        let error = HeadersError::Program {
            program: "header_storage",
            reason: "the kernel's verifier: Invalid argument".to_owned(),
            log: "R2 is not a pointer".to_owned(),
        };
        let reason = logs.reason_of_headers(&error);
        let (reason, file) = reason.split_once("; the verifier's log: ").unwrap();
        assert_eq!(
            reason,
            "header_storage refused: the kernel's verifier: Invalid argument"
        );
        assert_eq!(fs::read_to_string(file).unwrap(), "R2 is not a pointer");
        assert_eq!(
            logs.reason_of_headers(&HeadersError::NoCgroup),
            HeadersError::NoCgroup.to_string()
        );

        // Who finds the directory there already has not made it, and writes nothing.
        let reason = Logs::default().reason(&program);
        assert!(reason.contains("cannot be kept"), "{reason}");
        fs::remove_dir_all(directory).unwrap();

        program.loaded = Loaded::NoHook;
        assert_eq!(
            logs.reason(&program),
            "sent_storage: this kernel has no fexit/inet_sendmsg"
        );
    }
}
