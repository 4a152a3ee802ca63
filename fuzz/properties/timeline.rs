//! A file for `taskmesh timeline`: it is read back as it was written, and every form draws all of it.

use taskmesh::timeline::Timeline;
use taskmesh::timeline::render::{Lane, html, svg, text};

/// Takes the bytes for a timeline. Gives whether it is one.
pub(crate) fn check(data: &[u8]) -> bool {
    let Ok(timeline) = serde_json::from_slice::<Timeline>(data) else { return false };
    let again = serde_json::to_vec(&timeline).expect("a timeline is JSON");
    assert_eq!(serde_json::from_slice::<Timeline>(&again).expect("a timeline"), timeline);
    let lanes =
        Lane::align(vec![("a<b".to_owned(), timeline.clone()), ("c".to_owned(), timeline.clone())]);
    assert_eq!(lanes.len(), 2);
    assert!(lanes.iter().all(|lane| lane.offset_ms == 0.0));
    let table = text(&timeline);
    for record in &timeline.events {
        assert!(table.contains(record.event.name()), "{table}");
    }
    for picture in [svg(&lanes), html(&lanes)] {
        assert!(picture.contains("a&lt;b") && !picture.contains("a<b"));
        assert!(!picture.contains("NaN") && !picture.contains("inf\""), "{picture}");
    }
    true
}
