//! A server of JSON over HTTP whose answers are a function.

use std::sync::Arc;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Serves until the test ends; its address. It gets `METHOD /path` and the body, and closes the connection instead of
/// answering nothing.
pub(crate) async fn serve<F: Future<Output = Option<Value>> + Send>(
    answer: impl Fn(String, Value) -> F + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move { exchange(stream, &*answer).await });
        }
    });
    address
}

async fn exchange<F: Future<Output = Option<Value>>>(
    stream: TcpStream,
    answer: &impl Fn(String, Value) -> F,
) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).await.unwrap();
    let call: Vec<&str> = line.split(' ').take(2).collect();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.unwrap();
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let Some(answer) = answer(call.join(" "), body).await else {
        return;
    };
    let answer = answer.to_string();
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length";
    let answer = format!("{head}: {}\r\n\r\n{answer}", answer.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
}
