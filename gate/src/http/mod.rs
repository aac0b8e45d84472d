//! The HTTP edge: from bytes to a [`call::Call`], from an [`answer::Answer`] or a
//! [`refusal::Refusal`] to bytes.

pub(crate) mod answer;
pub(crate) mod asked;
pub(crate) mod call;
pub(crate) mod connection;
pub(crate) mod dispatch;
pub(crate) mod guard;
pub(crate) mod negotiate;
pub(crate) mod observed;
pub(crate) mod path;
pub(crate) mod query;
pub(crate) mod refusal;
pub(crate) mod route;
