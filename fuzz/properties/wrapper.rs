//! An HTTP answer as a wrapper reads it, and the lines of its stream: how the bytes are cut into reads changes nothing.

use taskmesh::admin::Line;
use taskmesh::wrapper::client::{Reading, Reply, take_line};

/// Takes the bytes for an answer, and for lines. Gives whether there was one.
pub(crate) fn check(data: &[u8]) -> bool {
    let whole = read(data, data.len().max(1));
    for size in [1, 7] {
        assert_eq!(read(data, size), whole, "in pieces of {size}");
    }
    if let Ok(Some(reply)) = &whole {
        assert!(reply.body.len() <= data.len());
    }
    let mut rest = data.to_vec();
    let (mut lines, mut ours) = (0, 0);
    while let Some(line) = take_line(&mut rest) {
        lines += 1;
        if let Some(line) = line {
            ours += 1;
            told(&line);
        }
    }
    assert_eq!(lines, data.iter().filter(|b| **b == b'\n').count());
    assert!(!rest.contains(&b'\n'));
    ours > 0 || matches!(whole, Ok(Some(_)))
}

/// Reads in pieces up to the connection's end; an error in its words, for they have no other way to be compared.
fn read(data: &[u8], size: usize) -> Result<Option<Reply>, String> {
    let mut reading = Reading::default();
    for piece in data.chunks(size).chain([&[][..]]) {
        match reading.push(piece) {
            Ok(None) => {}
            Ok(reply) => return Ok(reply),
            Err(why) => return Err(why.to_string()),
        }
    }
    Ok(None)
}

/// What a line says is what it says when it is said again.
fn told(line: &Line) {
    let again = serde_json::to_vec(line).expect("a line is JSON");
    assert!(!again.contains(&b'\n'));
    assert_eq!(&serde_json::from_slice::<Line>(&again).expect("a line"), line);
}
