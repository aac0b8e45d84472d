//! A connection with NATS that says everything the server says, refusals as well.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

pub(crate) struct Raw {
    stream: BufReader<TcpStream>,
    inbox: String,
}

impl Raw {
    /// Logs in with a seed; the server's reason when it refuses.
    pub(crate) async fn login(address: &str, user: &str, seed: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut raw = Self {
            stream: BufReader::new(stream),
            inbox: format!("_INBOX_{user}.answer"),
        };
        let info = raw.line().await;
        let info: Value = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
        let key = nkeys::KeyPair::from_seed(seed).unwrap();
        let signed = key.sign(info["nonce"].as_str().unwrap().as_bytes());
        let connect = json!({
            "nkey": key.public_key(), "sig": BASE64_URL_SAFE_NO_PAD.encode(signed.unwrap()),
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true,
            "lang": "test", "version": "1", "protocol": 1,
        });
        let (_, refusals) = raw.say(&format!("CONNECT {connect}\r\n")).await;
        match refusals.into_iter().next() {
            None => Ok(raw),
            Some(refusal) => Err(refusal),
        }
    }

    /// True when the server lets it publish there.
    pub(crate) async fn may_publish(&mut self, subject: &str) -> bool {
        let refusals = self.say(&format!("PUB {subject} 0\r\n\r\n")).await.1;
        verdict(&refusals, &format!("publish to \"{subject}\""))
    }

    /// True when the server lets it subscribe there.
    pub(crate) async fn may_subscribe(&mut self, subject: &str) -> bool {
        let refusals = self.say(&format!("SUB {subject} 1\r\nUNSUB 1\r\n")).await.1;
        verdict(&refusals, &format!("subscription to \"{subject}\""))
    }

    /// Publishes with an address for the answer that is not its own.
    pub(crate) async fn publish_for(&mut self, subject: &str, reply: &str, body: &str) {
        let length = body.len();
        let said = format!("PUB {subject} {reply} {length}\r\n{body}\r\n");
        let (_, refusals) = self.say(&said).await;
        assert!(refusals.is_empty(), "{refusals:?}");
    }

    /// Asks JetStream and waits for its answer.
    pub(crate) async fn ask(&mut self, subject: &str, body: &str) -> Value {
        let (inbox, length) = (&self.inbox, body.len());
        let said = format!("SUB {inbox} 2\r\nPUB {subject} {inbox} {length}\r\n{body}\r\n");
        let (mut answers, refusals) = self.say(&said).await;
        assert!(refusals.is_empty(), "{refusals:?}");
        while answers.is_empty() {
            let line = self.line().await;
            answers.extend(self.message(&line).await);
        }
        self.say("UNSUB 2\r\n").await;
        serde_json::from_slice(&answers[0]).unwrap()
    }

    /// Says something; the messages and refusals that came before the server had taken it in.
    async fn say(&mut self, text: &str) -> (Vec<Vec<u8>>, Vec<String>) {
        let (mut messages, mut refusals) = (Vec::new(), Vec::new());
        let whole = format!("{text}PING\r\n");
        // A server that hangs up says why first.
        self.stream.write_all(whole.as_bytes()).await.ok();
        loop {
            let line = self.line().await;
            match line.split_whitespace().next() {
                // None: the connection is closed.
                Some("PONG") | None => return (messages, refusals),
                Some("PING") => self.stream.write_all(b"PONG\r\n").await.unwrap(),
                Some("-ERR") => refusals.push(line),
                Some(_) => messages.extend(self.message(&line).await),
            }
        }
    }

    /// The body of a message whose first line was just read.
    async fn message(&mut self, line: &str) -> Option<Vec<u8>> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &&&str| word.parse::<usize>().ok();
        let (head, all) = match words.as_slice() {
            ["MSG", .., all] => (0, number(&all)?),
            ["HMSG", .., head, all] => (number(&head)?, number(&all)?),
            _ => return None,
        };
        let mut bytes = vec![0; all + 2];
        self.stream.read_exact(&mut bytes).await.unwrap();
        Some(bytes[head..all].to_vec())
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        // A server that hangs up may reset the connection.
        self.stream.read_line(&mut line).await.ok();
        line.trim_end().to_owned()
    }
}

/// No refusal, or exactly the one that is meant.
fn verdict(refusals: &[String], of: &str) -> bool {
    match refusals {
        [] => true,
        [one] if one.to_lowercase().contains(&of.to_lowercase()) => false,
        _ => panic!("{of}: {refusals:?}"),
    }
}
