//! Why the gateway does not start, or stopped by itself.

/// A start-up error. The text begins with the code of its page.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Everybody who reaches the address could deploy: that needs an identity provider first.
    #[error(
        "GATE-0012: gate would listen on {host}, which others can reach, without knowing who calls; \
         listen on 127.0.0.1, or configure an identity provider first"
    )]
    OpenToOthers { host: String },
    /// Values that cannot work, all of them.
    #[error("GATE-0013: the configuration of gate cannot work: {}", problems.join("; "))]
    Config { problems: Vec<String> },
    /// The address cannot be bound.
    #[error("GATE-0013: gate cannot listen on {host}:{port}; free the port or choose another")]
    Bind {
        host: String,
        port: u16,
        #[source]
        source: std::io::Error,
    },
    /// The server ended although nobody asked it to.
    #[error("the server of gate ended by itself")]
    Ended(#[source] std::io::Error),
}
