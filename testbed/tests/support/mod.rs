//! What the tests of the simulated task share.

#![allow(dead_code, reason = "each test file uses its part")]

use serde_json::{Value, json};
use testbed::ecs::{ContainerEvent, EcsTask, TaskSpec, What};
use testbed::net::{Host, Lan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A container that runs a script and stops at TERM with 0, saying so.
pub(crate) fn obedient(name: &str) -> Value {
    shell(name, "trap 'echo got TERM; exit 0' TERM; echo up; while :; do sleep 60 & wait; done")
}

/// A container that runs a script.
pub(crate) fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "image": "example/x:1", "entryPoint": ["sh", "-c"], "command": [script]})
}

/// Adds keys to a container.
pub(crate) fn with(mut container: Value, more: Value) -> Value {
    let object = container.as_object_mut().expect("an object");
    object.extend(more.as_object().expect("an object").clone());
    container
}

/// `dependsOn` with one entry.
pub(crate) fn after(name: &str, condition: &str) -> Value {
    json!({"dependsOn": [{"containerName": name, "condition": condition}]})
}

/// A spec of these containers, times divided by 20.
pub(crate) fn spec(containers: Value) -> TaskSpec {
    let definition = json!({"family": "web", "revision": 26, "cpu": "256", "memory": "512",
               "containerDefinitions": containers});
    TaskSpec::new(definition).expect("a valid definition").time_scale(20.0)
}

/// A network with one host.
pub(crate) fn host() -> (Lan, Host) {
    let lan = Lan::new().expect("a network");
    let host = lan.host("task").expect("a host");
    (lan, host)
}

/// What happened to containers, as `name event`, with all details left out.
pub(crate) fn story(task: &EcsTask) -> Vec<String> {
    let tell = |what| match what {
        What::StopWanted { .. } => Some("task stop-wanted".to_owned()),
        What::Stopped => Some("task stopped".to_owned()),
        What::Container { name, event } => {
            let event = match event {
                ContainerEvent::Started => "started",
                ContainerEvent::Signalled(_) => "signalled",
                ContainerEvent::Killed => "killed",
                ContainerEvent::Restarted { .. } => "restarted",
                ContainerEvent::Stopped { .. } => "stopped",
                ContainerEvent::Health(_) => "health",
                ContainerEvent::Pulled | ContainerEvent::Created => return None,
            };
            Some(format!("{name} {event}"))
        }
    };
    task.events().snapshot().into_iter().filter_map(|event| tell(event.what)).collect()
}

/// Panics unless the entries appear in this order, others between them or not.
#[track_caller]
pub(crate) fn in_order(story: &[String], wanted: &[&str]) {
    let mut rest = story.iter();
    for entry in wanted {
        assert!(rest.any(|told| told == entry), "{entry:?} is missing or out of order: {story:#?}");
    }
}

/// A GET from inside the host; the connection ends after it.
pub(crate) async fn get(host: &Host, uri: &str) -> std::io::Result<(u16, String, String)> {
    let rest = uri.strip_prefix("http://").expect("http");
    let (authority, path) = rest.split_once('/').expect("a path");
    let authority = match authority.contains(':') {
        true => authority.to_owned(),
        false => format!("{authority}:80"),
    };
    let request = format!("GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let fetch = host.spawn(move || async move {
        let mut stream = TcpStream::connect(authority).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut text = Vec::new();
        let mut chunk = [0; 65536];
        loop {
            let done = text.windows(4).position(|w| w == b"\r\n\r\n").is_some_and(|end| {
                let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
                let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
                length.is_some_and(|n| text.len() >= end + 4 + n.parse::<usize>().expect("n"))
            });
            if done {
                break;
            }
            match stream.read(&mut chunk).await? {
                0 => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
                n => text.extend_from_slice(&chunk[..n]),
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    });
    let text = fetch.await.expect("host")?;
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    Ok((status, head.to_owned(), body.to_owned()))
}

/// The JSON body of a 200.
pub(crate) async fn json_of(host: &Host, uri: &str) -> Value {
    let (status, head, body) = get(host, uri).await.expect("an answer");
    assert_eq!(status, 200, "{head}\n{body}");
    let kind = "content-type: application/json";
    assert!(head.to_ascii_lowercase().contains(kind), "{head}");
    serde_json::from_str(&body).expect("JSON")
}
