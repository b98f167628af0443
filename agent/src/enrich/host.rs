//! The host's part of every resource.

use std::path::Path;

use crate::config::Pairs;
use crate::model::Attribute;

/// What is the same for all processes.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// `host.*`, `os.type`, `telemetry.distro.*`, and what the operator configured, which is
    /// stronger.
    pub attributes: Vec<Attribute>,
}

impl Host {
    /// Reads the host's name and id under `root` (`/`).
    #[must_use]
    pub fn read(root: &Path, configured: &Pairs) -> Self {
        let line = |path: &str| {
            let text = std::fs::read_to_string(root.join(path)).ok()?;
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let id = line("etc/machine-id").or_else(|| line("var/lib/dbus/machine-id"));
        let mut attributes = Vec::new();
        if let Some(name) = line("proc/sys/kernel/hostname") {
            attributes.push(Attribute::new("host.name", name));
        }
        // machine-id(5): the file holds the word "uninitialized" in images.
        if let Some(id) = id.filter(|id| id != "uninitialized") {
            attributes.push(Attribute::new("host.id", id));
        }
        attributes.extend([
            Attribute::new("host.arch", architecture()),
            Attribute::new("os.type", "linux"),
            Attribute::new("telemetry.distro.name", "clew"),
            Attribute::new("telemetry.distro.version", env!("CARGO_PKG_VERSION")),
        ]);
        for (key, value) in configured {
            set(&mut attributes, key, value);
        }
        Self { attributes }
    }
}

/// Gives an attribute a value, in place of the one that it has.
pub fn set(attributes: &mut Vec<Attribute>, key: &str, value: &str) {
    attributes.retain(|attribute| attribute.key != key);
    attributes.push(Attribute {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
    });
}

/// `host.arch`, in the words of the semantic conventions.
const fn architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "amd64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        std::env::consts::ARCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes() {
        let root = std::env::temp_dir().join(format!("clew-host-{}", std::process::id()));
        for (file, text) in [
            ("proc/sys/kernel/hostname", "node-1\n"),
            ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ] {
            let path = root.join(file);
            let folder = path.parent().expect("not the root");
            std::fs::create_dir_all(folder).expect("the temporary folder is writable");
            std::fs::write(&path, text).expect("the temporary folder is writable");
        }
        let configured = vec![("host.name".to_owned(), "mine".to_owned())];
        let host = Host::read(&root, &configured);
        let removed = std::fs::remove_dir_all(&root);
        assert!(removed.is_ok());

        let value = |key: &str| {
            let mut all = host
                .attributes
                .iter()
                .filter(|attribute| attribute.key == key);
            let first = all.next().map(|attribute| attribute.value.clone());
            assert!(all.next().is_none(), "{key} twice");
            first
        };
        let text = |text: &str| Some(text.to_owned().into());
        assert_eq!(value("host.name"), text("mine"));
        assert_eq!(value("host.id"), text("0123456789abcdef0123456789abcdef"));
        assert_eq!(value("os.type"), text("linux"));
        assert_eq!(value("telemetry.distro.name"), text("clew"));
        assert!(
            Host::read(Path::new("/nonexistent"), &Pairs::new())
                .attributes
                .len()
                == 4
        );
    }
}
