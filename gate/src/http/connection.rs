//! A second handle on a client's socket, so that a client that does not read can be cut off.
//!
//! A write to such a client never ends by itself, and the server offers no time-out for it.

use std::{
    any::Any,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::Arc,
};

use actix_web::{HttpRequest, dev::Extensions};

/// The socket of the connection that a request came over.
#[derive(Clone)]
pub(crate) struct Connection(Arc<TcpStream>);

impl Connection {
    /// Called for every accepted connection: keeps the second handle beside it.
    pub(crate) fn remember(accepted: &dyn Any, kept: &mut Extensions) {
        let Some(stream) = accepted.downcast_ref::<tokio::net::TcpStream>() else {
            return;
        };
        match stream.as_fd().try_clone_to_owned() {
            Ok(handle) => {
                kept.insert(Self(Arc::new(TcpStream::from(handle))));
            }
            Err(error) => {
                tracing::warn!(%error, "no second handle for a connection: it cannot be cut off");
            }
        }
    }

    /// The connection of a request.
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        request.conn_data::<Self>().cloned()
    }

    /// Ends the connection in both directions, whatever still waits to be written.
    pub(crate) fn cut(&self) {
        if let Err(error) = self.0.shutdown(Shutdown::Both) {
            tracing::debug!(%error, "the connection was closed already");
        }
    }
}
