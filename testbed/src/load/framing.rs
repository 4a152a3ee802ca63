//! gRPC's framing without protobuf: a flag byte, four bytes of length, then the message, which here is JSON.

use super::error::{BODY_LIMIT, RequestError};

const HEAD: usize = 5;

/// A message with its prefix.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    // Messages here are a few bytes.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut framed = vec![0];
    framed.extend(length.to_be_bytes());
    framed.extend(message);
    framed
}

/// Takes messages out of a body that comes in parts.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    rest: Vec<u8>,
}

impl Messages {
    /// Adds a part of the body.
    pub(crate) fn push(&mut self, part: &[u8]) {
        self.rest.extend_from_slice(part);
    }

    /// The next whole message.
    ///
    /// # Errors
    /// If what comes next is no message: a compressed one, or longer than any that is read.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, RequestError> {
        let Some(&[flag, a, b, c, d]) = self.rest.first_chunk::<HEAD>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if flag != 0 || length > BODY_LIMIT {
            return Err(RequestError::NotGrpc);
        }
        if self.rest.len() < HEAD + length {
            return Ok(None);
        }
        let rest = self.rest.split_off(HEAD + length);
        let mut message = std::mem::replace(&mut self.rest, rest);
        message.drain(..HEAD);
        Ok(Some(message))
    }

    /// Whether nothing is left over.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_whatever_the_parts() {
        let body = [frame(b"one"), frame(b""), frame(b"three")].concat();
        for size in 1..=body.len() {
            let (mut messages, mut seen) = (Messages::default(), Vec::new());
            for part in body.chunks(size) {
                messages.push(part);
                while let Some(message) = messages.next().expect("good framing") {
                    seen.push(message);
                }
            }
            assert_eq!(seen, [b"one".as_slice(), b"", b"three"], "in parts of {size}");
            assert!(messages.is_empty());
        }
    }

    #[test]
    fn a_message_must_be_whole_and_plain() {
        let mut messages = Messages::default();
        messages.push(&frame(b"four")[..7]);
        assert!(matches!(messages.next(), Ok(None)) && !messages.is_empty());
        for bad in [[1, 0, 0, 0, 1], [0, 255, 255, 255, 255]] {
            let mut messages = Messages::default();
            messages.push(&bad);
            assert!(matches!(messages.next(), Err(RequestError::NotGrpc)), "{bad:?}");
        }
    }
}
