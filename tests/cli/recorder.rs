//! Stands where the agent and the task metadata endpoint stand, and keeps what it was asked.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request: method, path without its query, body (`null` if it has none).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// The task that the endpoint tells of: its app reports ECS health.
pub(crate) fn task() -> Value {
    let networks = json!([{ "NetworkMode": "awsvpc", "IPv4Addresses": ["127.0.0.1"] }]);
    let running = |name: &str| {
        json!({
            "Name": name, "Image": "x:1", "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
            "StartedAt": "2026-01-02T00:43:07Z", "Type": "NORMAL", "Networks": networks,
        })
    };
    let mut app = running("app");
    app["Health"] = json!({ "status": "HEALTHY" });
    json!({
        "Cluster": "default", "Family": "web", "Revision": "26",
        "TaskARN": "arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6b527399fd6414f5c",
        "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
        "Containers": [app, running("taskmesh")],
    })
}

impl Recorder {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let port = listener.local_addr().expect("addr").port();
        let this = Self { port, requests: Arc::default() };
        let server = this.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        this
    }

    /// The value of `ECS_CONTAINER_METADATA_URI_V4`.
    pub(crate) fn metadata_uri(&self) -> String {
        format!("http://127.0.0.1:{}/v4/own", self.port)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("lock").clone()
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut writer = stream.try_clone().ok()?;
        let mut reader = BufReader::new(stream);
        loop {
            let request = read(&mut reader)?;
            let body = answer(&request).to_string();
            self.requests.lock().ok()?.push(request);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
            write!(writer, "{head} {}\r\n\r\n{body}", body.len()).ok()?;
        }
    }
}

fn answer(request: &Request) -> Value {
    match request.path.as_str() {
        "/v4/own" => task()["Containers"][1].clone(),
        "/v4/own/task" => task(),
        "/v1/status/leader" => json!("127.0.0.1:8300"),
        path if path.starts_with("/v1/health/") => json!([]),
        _ => json!({}),
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}
