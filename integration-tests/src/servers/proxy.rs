//! A TCP proxy in front of a server, for what a network does to connections: it resets them, holds
//! bytes back, or forgets them, so that both ends believe in a connection that is none.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::harness::Random;

/// Most bytes that are passed on in one piece; pieces are of random size, so messages are torn apart.
const PIECE_BYTES_MAX: u64 = 8 * 1024;

/// Which bytes a proxy passes on at the moment. What it does not is kept, and nothing is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passes {
    All,
    /// What clients send arrives, the answers do not.
    Requests,
    Nothing,
}

#[derive(Debug, Clone, Copy)]
struct Mood {
    passes: Passes,
    /// Connections are numbered from 1; up to this one they are reset.
    reset: u64,
    /// Up to this one they carry nothing any more, and stay open.
    forgotten: u64,
}

/// A proxy on a port of its own; it ends with its value.
pub struct Proxy {
    address: SocketAddr,
    mood: watch::Sender<Mood>,
    /// The number of the last connection.
    last: watch::Receiver<u64>,
    accepting: JoinHandle<()>,
    held: Arc<AtomicUsize>,
}

impl Proxy {
    /// In front of a server at this address, such as `127.0.0.1:4222`; the seed says how bytes are cut
    /// into pieces.
    pub async fn start(target: &str, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (mood, moods) = watch::channel(Mood {
            passes: Passes::All,
            reset: 0,
            forgotten: 0,
        });
        let (numbers, last) = watch::channel(0);
        let held = Arc::default();
        let network = Network {
            target: target.to_owned(),
            moods,
            held: Arc::clone(&held),
        };
        let accepting = accept(listener, network, Random(seed), numbers);
        Self {
            address,
            mood,
            last,
            accepting: tokio::spawn(accepting),
            held,
        }
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on it passes these bytes on; what was kept and may pass goes first.
    pub fn pass(&self, passes: Passes) {
        self.mood.send_modify(|mood| mood.passes = passes);
    }

    /// Bytes that arrived and may not pass at the moment.
    pub fn bytes_held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Resets all connections that there are; new ones are taken.
    pub fn cut(&self) {
        let last = *self.last.borrow();
        self.mood.send_modify(|mood| mood.reset = last);
    }

    /// Forgets all connections that there are: what is sent on them arrives nowhere, and nobody is
    /// told. New ones are taken.
    pub fn forget(&self) {
        let last = *self.last.borrow();
        self.mood.send_modify(|mood| mood.forgotten = last);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What all connections share.
#[derive(Clone)]
struct Network {
    target: String,
    moods: watch::Receiver<Mood>,
    held: Arc<AtomicUsize>,
}

async fn accept(
    listener: TcpListener,
    network: Network,
    mut random: Random,
    numbers: watch::Sender<u64>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let number = *numbers.borrow() + 1;
                numbers.send_replace(number);
                let seed = random.below(u64::MAX);
                connections.spawn(carry(client, network.clone(), number, seed));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until both ends are closed or it is reset.
async fn carry(mut client: TcpStream, network: Network, number: u64, seed: u64) {
    let mut moods = network.moods.clone();
    let Ok(mut server) = TcpStream::connect(&network.target).await else {
        // As a server that is not there refuses it.
        client.set_zero_linger().ok();
        return;
    };
    for end in [&client, &server] {
        end.set_nodelay(true).ok();
        // Whatever ends this carrying early resets both ends.
        end.set_zero_linger().ok();
    }
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let way = |passes: fn(Passes) -> bool| Way {
        number,
        network: network.clone(),
        passes,
    };
    let requests = way(|passes| passes != Passes::Nothing);
    let answers = way(|passes| passes == Passes::All);
    let both = async {
        tokio::join!(
            requests.pump(from_client, to_server, Random(seed)),
            answers.pump(from_server, to_client, Random(!seed)),
        )
    };
    tokio::select! {
        ((), ()) = both => {}
        _ = moods.wait_for(|mood| mood.reset >= number) => {}
    }
}

/// One direction of a connection.
struct Way {
    number: u64,
    network: Network,
    passes: fn(Passes) -> bool,
}

impl Way {
    /// Passes bytes on, each piece when it may pass.
    async fn pump(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut random: Random) {
        let mut buffer = vec![0; PIECE_BYTES_MAX as usize];
        loop {
            let most = 1 + random.below(PIECE_BYTES_MAX) as usize;
            let read = from.read(&mut buffer[..most]).await;
            let (number, passes) = (self.number, self.passes);
            let may_pass = |mood: &Mood| mood.forgotten < number && passes(mood.passes);
            let read = read.unwrap_or(0);
            let held = Held::new(&self.network.held, read);
            if self.network.moods.wait_for(may_pass).await.is_err() {
                return;
            }
            drop(held);
            if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
                // The other end may have gone first.
                to.shutdown().await.ok();
                return;
            }
        }
    }
}

/// Counts bytes for as long as they are held.
struct Held(Arc<AtomicUsize>, usize);

impl Held {
    fn new(counter: &Arc<AtomicUsize>, bytes: usize) -> Self {
        counter.fetch_add(bytes, Ordering::Relaxed);
        Self(Arc::clone(counter), bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use super::*;

    /// A server that answers with what it is sent, behind a proxy.
    async fn echo() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let target = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = client.split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        Proxy::start(&target, 1).await
    }

    async fn says(client: &mut TcpStream, text: &[u8]) -> io::Result<bool> {
        client.write_all(text).await?;
        let mut heard = vec![0; text.len()];
        let read = client.read_exact(&mut heard);
        match tokio::time::timeout(Duration::from_millis(300), read).await {
            Ok(read) => read.map(|_| heard == text),
            Err(_) => Ok(false),
        }
    }

    #[tokio::test]
    async fn it_holds_back_forgets_and_resets() {
        let proxy = echo().await;
        let mut first = TcpStream::connect(proxy.address()).await.expect("a proxy");
        assert!(says(&mut first, &vec![7; 50_000]).await.expect("an answer"));
        proxy.pass(Passes::Nothing);
        assert!(!says(&mut first, b"held").await.expect("it stays open"));
        proxy.pass(Passes::All);
        let mut held = [0; 4];
        first.read_exact(&mut held).await.expect("it comes late");
        assert_eq!(&held, b"held");

        proxy.forget();
        assert!(!says(&mut first, b"lost").await.expect("it stays open"));
        let mut second = TcpStream::connect(proxy.address()).await.expect("a proxy");
        assert!(says(&mut second, b"fine").await.expect("an answer"));
        proxy.cut();
        for mut client in [first, second] {
            let error = client.read(&mut [0; 8]).await.expect_err("it is reset");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }
}
