//! With which agent the same load is repeated.

use std::fmt;

/// No agent, or one that sends contexts along in one way or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// No agent.
    None,
    /// An agent that sends none.
    Off,
    /// In TCP options.
    TcpOption,
    /// In headers, whatever this kernel's self-test says.
    Header,
    /// In both.
    Both,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Off,
        Self::TcpOption,
        Self::Header,
        Self::Both,
    ];

    /// What the agent is told; `None` where there is none.
    pub const fn arguments(self) -> Option<&'static [&'static str]> {
        match self {
            Self::None => None,
            Self::Off => Some(&["--propagate", "off"]),
            Self::TcpOption => Some(&["--propagate", "tcp-option"]),
            Self::Header => Some(&["--propagate", "off", "--propagate-header=force"]),
            Self::Both => Some(&["--propagate", "tcp-option", "--propagate-header=force"]),
        }
    }

    /// Whether requests take TCP options along.
    pub const fn has_options(self) -> bool {
        matches!(self, Self::TcpOption | Self::Both)
    }

    /// Whether requests get headers.
    pub const fn has_headers(self) -> bool {
        matches!(self, Self::Header | Self::Both)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no agent",
            Self::Off => "agent, nothing sent along",
            Self::TcpOption => "agent, TCP option",
            Self::Header => "agent, header",
            Self::Both => "agent, TCP option and header",
        })
    }
}
