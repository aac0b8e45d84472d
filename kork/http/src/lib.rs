//! Where every outbound HTTP client of the suite begins: one choice of cryptography for all.

/// A client to be configured further, with TLS by rustls and ring.
///
/// ring, because it is built in a fraction of the time that the default provider takes, which a
/// newcomer waits for at the first `cargo run`.
pub fn client() -> reqwest::ClientBuilder {
    // It fails when a provider is installed already, by an earlier call: that one is used then.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    reqwest::Client::builder()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_client_can_be_made_more_than_once() {
        for _ in 0..2 {
            super::client().build().expect("there is a provider");
        }
    }
}
