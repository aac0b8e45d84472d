//! A gate of canned answers on a port of its own, which remembers what it was asked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

pub(crate) struct FakeGate {
    url: String,
    /// Requests as `METHOD /path` with their bodies, oldest first.
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl FakeGate {
    /// Listens until the test process ends.
    pub(crate) fn start() -> Self {
        Self::serving(answer)
    }

    /// Gives the same answer to everything, as what is no gate does.
    pub(crate) fn always(status: u16, kind: &'static str, body: &str) -> Self {
        let body = body.to_owned();
        Self::serving(move |_, _| (status, kind, body.clone()))
    }

    fn serving(
        answer: impl Fn(&str, usize) -> (u16, &'static str, String) + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&remembered), Arc::clone(&answer));
                std::thread::spawn(move || serve(&stream, &seen, answer.as_ref()));
            }
        });
        Self { url, seen }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// There was a request of this kind.
    pub(crate) fn saw(&self, request: &str) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.iter().any(|(line, _)| line == request)
    }

    /// Body of the last request of this kind.
    pub(crate) fn seen(&self, request: &str) -> String {
        let seen = self.seen.lock().unwrap();
        let found = seen.iter().rev().find(|(line, _)| line == request);
        found.map_or_else(
            || panic!("no {request} in {seen:?}"),
            |(_, body)| body.clone(),
        )
    }
}

fn serve(
    stream: &TcpStream,
    seen: &Mutex<Vec<(String, String)>>,
    answer: &dyn Fn(&str, usize) -> (u16, &'static str, String),
) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let path = target.split('?').next().unwrap();
    let request = format!("{method} {path}");
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push((request.clone(), String::from_utf8(body).unwrap()));
        seen.iter().filter(|(line, _)| *line == request).count()
    };
    let (status, kind, text) = answer(&request, before);
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n");
    let mut stream = stream;
    // The client may be gone already; what it saw is checked by the test.
    if path == "/events" && status == 200 {
        stream
            .write_all(format!("{head}\r\n{text}").as_bytes())
            .ok();
        // Open until the client closes it.
        reader.read_to_end(&mut Vec::new()).ok();
        return;
    }
    stream
        .write_all(format!("{head}content-length: {}\r\n\r\n{text}", text.len()).as_bytes())
        .ok();
}

/// Status, media type and body; `times` counts requests of this kind, this one included.
fn answer(request: &str, times: usize) -> (u16, &'static str, String) {
    let json = |text: &str| (200, "application/json", text.to_owned());
    match request {
        "GET /applications" => json(
            r#"[{"name": "shop", "email": "shop@a.b", "accounts": "local", "description": "sells"},
                {"name": "blog", "email": "blog@a.b"}]"#,
        ),
        "GET /applications/shop/pipelineConfigs/Deliver" => {
            json(r#"{"name": "Deliver", "application": "shop", "id": "stored-id"}"#)
        }
        "GET /applications/shop/serverGroups" => {
            (503, "application/problem+json", r#"{"detail": "the service clouddriver is not there"}"#.to_owned())
        }
        "GET /applications/nope/pipelineConfigs"
        | "GET /applications/nope/pipelines"
        | "GET /applications/nope/serverGroups" => json("[]"),
        "GET /applications/shop/pipelines" => json(
            r#"[{"id": "09OLD", "buildTime": 1, "status": "SUCCEEDED"},
                {"id": "01NEW", "buildTime": 2, "status": "RUNNING", "trigger": {"type": "webhook"}}]"#,
        ),
        "GET /events" => (
            200,
            "text/event-stream",
            "id: 1\ndata: {\"subject\": \"GOOD\"}\n\n".to_owned(),
        ),
        "GET /pipelines/GOOD" if times == 1 => json(&execution("GOOD", "RUNNING", "wait", "{}")),
        "GET /pipelines/GOOD" => json(&execution("GOOD", "SUCCEEDED", "wait", "{}")),
        "GET /pipelines/BAD" => json(&execution(
            "BAD",
            "TERMINAL",
            "deploy",
            r#"{"exception": {"details": {"errors": ["the health check failed"]}}}"#,
        )),
        "GET /pipelines/WAITS" => json(&execution("WAITS", "RUNNING", "manualJudgment", "{}")),
        "PATCH /pipelines/WAITS/stages/S1" => json("{}"),
        "POST /pipelines" => json(""),
        _ => (
            404,
            "application/problem+json",
            r#"{"status": 404, "code": "X-0001", "detail": "no pipeline Nothing in shop",
                "causes": ["nobody saved it"], "errors": [{"pointer": "/name", "detail": "is unknown"}]}"#
                .replace('\n', " "),
        ),
    }
}

fn execution(id: &str, status: &str, kind: &str, context: &str) -> String {
    format!(
        r#"{{"type": "PIPELINE", "id": "{id}", "application": "shop", "name": "Deliver", "status": "{status}",
            "startTime": 1000, "stages": [{{"id": "S1", "refId": "1", "type": "{kind}", "name": "Wait",
            "status": "{status}", "startTime": 1000, "context": {context}}}]}}"#
    )
}
