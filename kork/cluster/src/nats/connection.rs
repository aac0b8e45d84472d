//! What a lost connection does to requests: their answers do not come, whether the server got them or
//! not. Whoever waits need not wait to the end: as soon as there is a connection again, it asks again.

use tokio::sync::watch;

/// Times that something is asked again because of a new connection.
const AGAIN_MAX: usize = 8;

/// Counts the connections that were made, one after the other.
#[derive(Clone)]
pub(super) struct Connections(watch::Sender<u64>);

impl Default for Connections {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Connections {
    /// There is a connection again.
    pub(super) fn made(&self) {
        self.0.send_modify(|made| *made += 1);
    }

    /// Waits for the next connection after this call.
    pub(super) fn next(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut made = self.0.subscribe();
        async move {
            // The sender lives as long as whoever waits for it.
            made.changed().await.ok();
        }
    }

    /// Does what may be done twice; again, with the number of the try, when a new connection says that
    /// the answer will not come.
    pub(super) async fn again<T, Fut>(&self, ask: impl Fn(usize) -> Fut + Send) -> T
    where
        Fut: Future<Output = T> + Send,
    {
        for number in 0..AGAIN_MAX {
            let next = self.next();
            tokio::select! {
                biased;
                answer = ask(number) => return answer,
                () = next => {}
            }
        }
        ask(AGAIN_MAX).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_asked_again_on_a_new_connection() {
        let connections = Connections::default();
        let ask = async |number| {
            if number == 2 {
                return number;
            }
            connections.made();
            std::future::pending().await
        };
        let answer = connections.again(ask);
        assert_eq!(answer.await, 2);
    }
}
