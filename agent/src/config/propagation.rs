//! Settings that say how contexts leave this host.

use super::layers::{Layers, Shown};
use super::otel;
use super::value::{Setting, choice};

choice! {
    /// Whether plaintext HTTP/1 requests get a `traceparent` header.
    HeaderMode {
        /// No request does.
        Off = "off",
        /// They do where the kernel passed the test at the start.
        Auto = "auto",
        /// They do, also where it did not.
        Force = "force",
    }
}

/// How contexts leave this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Propagation {
    /// Headers in the requests of services that are not named.
    pub header: HeaderMode,
    /// Headers in the requests of these services.
    pub header_services: Vec<(String, HeaderMode)>,
}

impl Propagation {
    pub(super) fn read(layers: &mut Layers<'_>) -> Self {
        const SERVICES: &str = "propagation.header_services";
        let header = layers.value(
            "propagation.header",
            &[],
            "Insert traceparent into plaintext HTTP/1 requests: off, auto (where the kernel passes a test), force.",
            HeaderMode::Off,
        );
        let services = layers.map(
            SERVICES,
            &[],
            "The same by service name, such as cart: force.",
            otel::pairs,
            Shown::Map,
        );
        let mut header_services = Vec::new();
        for (service, mode) in services {
            match HeaderMode::read(&mode) {
                Ok(mode) => header_services.push((service, mode)),
                Err(message) => layers.refuse(SERVICES, format!("`{service}`: {message}")),
            }
        }
        Self {
            header,
            header_services,
        }
    }

    /// What holds for a service.
    #[must_use]
    pub fn header_of(&self, service: &str) -> HeaderMode {
        self.header_services
            .iter()
            .find(|(name, _)| name == service)
            .map_or(self.header, |(_, mode)| *mode)
    }

    /// Whether any service has this mode.
    #[must_use]
    pub fn has(&self, mode: HeaderMode) -> bool {
        self.header == mode || self.header_services.iter().any(|(_, of)| *of == mode)
    }
}
