//! A secret that a source and the suite share.

use std::fmt;

use subtle::ConstantTimeEq;

/// Bytes that are never shown: in logs and errors they are `***`.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// An empty secret proves nothing and is never compared with.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// It is a key of Standard Webhooks, and no token that is passed along.
    pub(crate) fn is_signing_key(&self) -> bool {
        self.0.starts_with(b"whsec_")
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is these bytes, in a time that depends on the lengths alone.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        !self.is_empty() && bool::from(self.0.ct_eq(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_an_empty_one_matches_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
        assert!(Secret::new("hunter2").is(b"hunter2"));
        assert!(!Secret::new("hunter2").is(b"hunter"));
        assert!(!Secret::new("").is(b""));
    }
}
