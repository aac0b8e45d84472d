//! A server on this machine that answers as the input says, for parsers that only a client reaches.
//!
//! The input is a list of answers in JSON, taken one after the other, the last one again and again:
//! `{"status": 200, "headers": {..}, "body": <JSON>}`, with `text` for a body that is none and `lines` for git's
//! packet lines. `{server}` stands for the address of the server. No answer leads a client anywhere else.

use std::{
    fmt::Write as _,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

/// Calls of one input that are answered; those after it find the server broken.
const CALLS_MAX: usize = 60;
/// Bytes of the body of a call.
const CALL_BYTES_MAX: u64 = 1024 * 1024;
/// Stands for the address of the server.
const SERVER: &str = "{server}";

/// What is answered, and how much of it was.
#[derive(Default)]
struct Script {
    answers: Vec<Value>,
    /// Served as it is when the input is no list of answers.
    raw: Vec<u8>,
    calls: usize,
}

/// The server; it lives as long as the process.
pub(super) struct Server {
    script: Arc<Mutex<Script>>,
    /// `http://127.0.0.1:<port>`.
    pub address: String,
}

impl Server {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let script = Arc::new(Mutex::new(Script::default()));
        let (shared, own) = (Arc::clone(&script), address.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, address) = (Arc::clone(&shared), own.clone());
                std::thread::spawn(move || serve(&stream, &script, &address));
            }
        });
        Ok(Self { script, address })
    }

    /// Answers as this input says from now on.
    pub(super) fn plays(&self, input: &[u8]) {
        let answers = match serde_json::from_slice(input) {
            Ok(Value::Array(answers)) => answers,
            _ => Vec::new(),
        };
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Script {
            answers,
            raw: input.to_vec(),
            calls: 0,
        };
    }

    /// Calls since then.
    pub(super) fn calls(&self) -> usize {
        self.script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .calls
    }
}

/// Answers calls until the client is gone; a call that cannot be read ends it, too.
fn serve(stream: &TcpStream, script: &Mutex<Script>, address: &str) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let is_head = called(&mut reader)?;
        let answer = next(
            &mut script.lock().unwrap_or_else(PoisonError::into_inner),
            address,
        );
        let body = if is_head { &[][..] } else { &answer.body };
        writer
            .write_all(&[answer.head.as_bytes(), body].concat())
            .ok()?;
    }
}

/// Reads one call; whether it asks for a head alone.
fn called(reader: &mut BufReader<TcpStream>) -> Option<bool> {
    let (mut first, mut length) = (String::new(), 0);
    reader
        .read_line(&mut first)
        .ok()
        .filter(|bytes| *bytes > 0)?;
    loop {
        let mut line = String::new();
        reader
            .read_line(&mut line)
            .ok()
            .filter(|bytes| *bytes > 0)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = reader.take(u64::min(length, CALL_BYTES_MAX));
    io::copy(&mut body, &mut io::sink()).ok()?;
    Some(first.starts_with("HEAD "))
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

fn next(script: &mut Script, address: &str) -> Answer {
    let at = script.calls.min(script.answers.len().saturating_sub(1));
    script.calls += 1;
    let answer = script.answers.get(at);
    let mut status = answer.map_or(200, |answer| answer["status"].as_u64().unwrap_or(200));
    if !(200..600).contains(&status) {
        status = 200;
    }
    if script.calls > CALLS_MAX {
        status = 500;
    }
    let mut body = answer.map_or_else(|| script.raw.clone(), content);
    if matches!(status, 204 | 205 | 304) {
        body.clear();
    }
    let mut head = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in answer
        .and_then(|a| a["headers"].as_object())
        .into_iter()
        .flatten()
    {
        let value = value.as_str().unwrap_or_default().replace(SERVER, address);
        if is_header(name, &value) && stays_here(&value, address) {
            // A text always takes it.
            write!(head, "{name}: {value}\r\n").ok();
        }
    }
    head.push_str("\r\n");
    Answer { head, body }
}

fn content(answer: &Value) -> Vec<u8> {
    if let Some(lines) = answer["lines"].as_array() {
        // Length in four hex digits, itself counted; an empty line is a flush packet.
        let line = |line: &Value| match line.as_str().unwrap_or_default() {
            "" => "0000".to_owned(),
            text => format!("{:04x}{text}\n", text.len() + 5),
        };
        return lines.iter().map(line).collect::<String>().into_bytes();
    }
    match (answer["text"].as_str(), answer.get("body")) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(body)) => body.to_string().into_bytes(),
        (None, None) => Vec::new(),
    }
}

/// A header as HTTP has it, and none that says how long the answer is.
fn is_header(name: &str, value: &str) -> bool {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let framing = [
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "trailer",
    ];
    !name.is_empty()
        && name.bytes().all(is_name)
        && !framing.iter().any(|own| name.eq_ignore_ascii_case(own))
        && value.bytes().all(|b| (b' '..=b'~').contains(&b))
}

/// No URL in it leads to another server.
fn stays_here(value: &str, address: &str) -> bool {
    let rest = value
        .replace(&format!("{address}/"), "")
        .to_ascii_lowercase();
    let is_whole = !rest.contains(address);
    is_whole && !rest.contains("http") && !rest.contains("//") && !rest.contains('\\')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_come_one_after_the_other_and_lead_nowhere_else() {
        let mut script = Script {
            answers: vec![
                json!({"status": 302, "headers": {"location": "{server}/a", "content-length": "9", "x y": "1"}}),
                json!({"status": 7, "headers": {"location": "https://h/"}, "lines": ["ab", ""]}),
            ],
            ..Script::default()
        };
        let here = "http://127.0.0.1:1";
        let first = next(&mut script, here);
        assert_eq!(
            first.head,
            format!("HTTP/1.1 302 Answer\r\ncontent-length: 0\r\nlocation: {here}/a\r\n\r\n")
        );
        for _ in 0..2 {
            let later = next(&mut script, here);
            assert_eq!(
                later.head,
                "HTTP/1.1 200 Answer\r\ncontent-length: 11\r\n\r\n"
            );
            assert_eq!(later.body, b"0007ab\n0000");
        }
        for other in [
            "//h",
            "HTTP:h",
            "\\\\h",
            "http://127.0.0.1:12/",
            "http://127.0.0.1:1@h/",
        ] {
            assert!(!stays_here(other, here), "{other}");
        }
        assert!(stays_here("<http://127.0.0.1:1/v2?a=b>; rel=next", here));
    }
}
