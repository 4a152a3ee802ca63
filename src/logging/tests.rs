//! The formats as they come out of the queue, and the queue when nobody reads.

use super::queue::Limits;
use super::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;

/// A queue whose lines can be read back.
fn queue(limits: Limits) -> (Arc<Queue>, BufReader<File>) {
    let (reader, writer) = io::pipe().expect("pipe");
    let queue = Queue::start(writer.into(), limits, notice_json).expect("queue");
    (queue, BufReader::new(File::from(OwnedFd::from(reader))))
}

fn line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("line");
    line
}

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).expect("a line is one JSON value")
}

#[test]
fn json_lines_are_flat() {
    let (queue, mut out) = queue(Limits::DEFAULT);
    let subscriber = tracing_subscriber::registry()
        .with(targets(LogLevel::Info))
        .with(json_layer(QueueWriter(queue)));
    tracing::subscriber::with_default(subscriber, || {
        tracing::debug!("not shown");
        tracing::info!(target: "hyper", "not shown either");
        tracing::warn!(attempt = 3, error = %"no \"luck\"", "agent is away");
        tracing::info!(target: CHILD, child = "envoy", stream = "stderr", "{}", r#"{"level":"error"}"#);
    });
    let warn = json(&line(&mut out));
    assert_eq!(warn["message"], "agent is away");
    assert_eq!((&warn["level"], &warn["attempt"]), (&"WARN".into(), &3.into()));
    assert_eq!(warn["error"], "no \"luck\"");
    assert_eq!(warn["target"], "taskmesh::logging::tests");
    let time = warn["timestamp"].as_str().expect("timestamp");
    assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == 24, "{time}");
    let child = json(&line(&mut out));
    assert_eq!(child["message"], r#"{"level":"error"}"#, "a child's JSON stays a string");
    assert_eq!((&child["child"], &child["level"]), (&"envoy".into(), &"INFO".into()));
}

#[test]
fn text_lines_are_for_people() {
    let (queue, mut out) = queue(Limits::DEFAULT);
    let layer = tracing_subscriber::fmt::layer()
        .event_format(text::Text { colour: false, now: || "12:00:00.123".to_owned() })
        .with_writer(QueueWriter(queue));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(target: "taskmesh::supervisor::fsm", phase = "T1", after = ?Duration::from_millis(12), "phase");
        tracing::error!(target: "taskmesh::actors::envoy", child = "envoy", why = "no such file", empty = "", "gone");
        tracing::info!(target: CHILD, child = "consul", stream = "stdout", "{}", "\x1b[31mred\r\nfake");
    });
    assert_eq!(line(&mut out), "12:00:00.123 INFO  supervisor: phase phase=T1 after=12ms\n");
    assert_eq!(
        line(&mut out),
        "12:00:00.123 ERROR envoy: gone child=envoy why=\"no such file\" empty=\"\"\n"
    );
    assert_eq!(line(&mut out), "12:00:00.123 INFO  consul| \\u{1b}[31mred\\r\\nfake\n");
}

#[test]
fn a_blocked_reader_costs_lines_not_time_and_is_told_how_many() {
    let (queue, mut out) = queue(Limits { lines: 100, bytes: 1024 * 1024 });
    let text = format!("{{\"message\":\"{}\"}}\n", "x".repeat(1000));
    let pushed = 1000;
    for _ in 0..pushed {
        queue.push(text.as_bytes());
    }
    // At most: the queue, what a pipe holds (64 KiB on Linux), and what the writer took out.
    let dropped = queue.dropped();
    assert!((pushed - 100 - 65 - 65..pushed).contains(&dropped), "{dropped}");
    assert!(!queue.admit());
    let (pushed, dropped) = (pushed + 1, dropped + 1);
    assert!(!queue.flush(Duration::from_millis(20)), "nobody reads");

    let mut kept = 0;
    let told = loop {
        let line = json(&line(&mut out));
        match line["dropped"].as_u64() {
            Some(told) => break told,
            None => kept += 1,
        }
    };
    assert_eq!((told, kept + told), (dropped, pushed), "every line is either there or counted");
    assert!(queue.flush(Duration::from_secs(10)), "all is written");
    assert!(queue.admit());
    assert_eq!(queue.dropped(), dropped);
}

#[test]
fn the_queue_is_bounded_by_bytes_too() {
    let (queue, mut out) = queue(Limits { lines: 1_000_000, bytes: 100_000 });
    let text = [vec![b'x'; 9_999], b"\n".to_vec()].concat();
    for _ in 0..1000 {
        queue.push(&text);
    }
    // 100 kB queued, 64 KiB in the pipe, 64 KiB in the writer's hand.
    assert!(queue.dropped() >= 1000 - 10 - 7 - 7, "{}", queue.dropped());
    let mut sink = vec![0; 10_000];
    out.read_exact(&mut sink).expect("what is queued arrives whole");
    assert_eq!(sink, text);
}

#[test]
fn lines_without_a_reader_are_counted_and_the_writer_lives_on() {
    let (reader, writer) = io::pipe().expect("pipe");
    drop(reader);
    let queue = Queue::start(writer.into(), Limits::DEFAULT, notice_json).expect("queue");
    for expected in [1, 2] {
        queue.push(b"lost\n");
        assert!(queue.flush(Duration::from_secs(10)));
        assert_eq!(queue.dropped(), expected);
    }
}

#[test]
fn a_non_blocking_pipe_loses_nothing() {
    let (reader, writer) = io::pipe().expect("pipe");
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
        .expect("fcntl");
    let queue = Queue::start(writer.into(), Limits::DEFAULT, notice_json).expect("queue");
    let text = [vec![b'x'; 999], b"\n".to_vec()].concat();
    for _ in 0..500 {
        queue.push(&text);
    }
    let mut reader = File::from(OwnedFd::from(reader));
    let mut all = vec![0; 500_000];
    reader.read_exact(&mut all).expect("read");
    assert_eq!(all, text.repeat(500));
    assert_eq!(queue.dropped(), 0);
}
