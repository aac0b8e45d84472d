//! Requests and answers between services, one module per serving service.
//!
//! Every endpoint takes and gives JSON. A request type names its endpoint ([`Call::ENDPOINT`]), so
//! that caller and server cannot disagree about the pair.

pub mod clouddriver;
pub mod front50;
pub mod igor;
pub mod orca;

use serde::{Serialize, de::DeserializeOwned};

/// A request to another service: where it goes and what comes back.
pub trait Call: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Service that answers.
    const SERVICE: &'static str;
    /// Endpoint of that service, such as `pipelines.get`.
    const ENDPOINT: &'static str;
    /// Asking twice is as good as asking once: it changes nothing, or nothing the second time. Then it is
    /// asked again when no answer comes soon.
    const MAY_REPEAT: bool;
    /// The answer.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

/// Declares a request type with its endpoint and its answer. Fields that are not known are passed over: they
/// come from a newer caller in the middle of an upgrade. `repeat` in front says that it may be asked
/// twice.
macro_rules! call {
    (repeat $($call:tt)*) => {
        $crate::api::call!(@ true, $($call)*);
    };
    ($service:literal, $($call:tt)*) => {
        $crate::api::call!(@ false, $service, $($call)*);
    };
    (@ $repeat:literal, $service:literal, $endpoint:literal, $(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)? } -> $answer:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),* }
        impl $crate::api::Call for $name {
            const SERVICE: &'static str = $service;
            const ENDPOINT: &'static str = $endpoint;
            const MAY_REPEAT: bool = $repeat;
            type Answer = $answer;
        }
    };
}
pub(crate) use call;
