//! What wrappers send to the admin API: what is taken is what was said.

use serde_json::Value;
use taskmesh::admin::{Attach, Exited};

/// Takes the bytes for both bodies. Gives whether one of them was taken.
pub(crate) fn check(data: &[u8]) -> bool {
    let said: Value = serde_json::from_slice(data).unwrap_or_default();
    let attach = serde_json::from_slice::<Attach>(data);
    if let (Ok(attach), true) = (&attach, said.is_object()) {
        assert_eq!(said["container"], attach.container);
        assert_eq!(said["pid"], attach.pid);
        assert_eq!(said.get("started").unwrap_or(&Value::Bool(false)), &attach.started);
        let again = serde_json::to_vec(attach).expect("JSON");
        assert_eq!(&serde_json::from_slice::<Attach>(&again).expect("an attach"), attach);
    }
    let exited = serde_json::from_slice::<Exited>(data);
    if let (Ok(exited), true) = (&exited, said.is_object()) {
        assert_eq!(said["code"], exited.code);
    }
    attach.is_ok() || exited.is_ok()
}
