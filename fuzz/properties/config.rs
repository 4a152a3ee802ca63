//! A configuration: never a panic, every error with a place, and what is accepted can be printed, read again and used.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use taskmesh::config::{self, ConfigErrors, Env, Loaded, Sources, cli_check};
use taskmesh::ecs::TaskIdentity;
use taskmesh::explain::TaskSource;

const OURS: &str = "TASKMESH_CONFIG_JSON";
const LEGACY: &str = "CONSUL_ECS_CONFIG_JSON";

/// An environment of any bytes.
struct Bytes(BTreeMap<&'static str, Vec<u8>>);

impl Env for Bytes {
    fn var(&self, name: &str) -> Option<OsString> {
        self.0.get(name).cloned().map(OsString::from_vec)
    }
}

/// Takes the bytes for a configuration of ours, then for a v0.4.3 one. Gives how often they were accepted.
pub(crate) fn check(data: &[u8]) -> u32 {
    let base = br#"{"consul": {"retryJoin": ["10.0.0.10"]}}"#.to_vec();
    let ours = Bytes(BTreeMap::from([(OURS, data.to_vec())]));
    let theirs = Bytes(BTreeMap::from([(OURS, base), (LEGACY, data.to_vec())]));
    [ours, theirs].into_iter().map(|env| u32::from(judge(&env))).sum()
}

fn judge(env: &Bytes) -> bool {
    let (text, code) = cli_check(&Sources::default(), true, env);
    assert!(!text.is_empty());
    match config::load(&Sources::default(), env) {
        Ok(loaded) => {
            assert_eq!(code, 0);
            prints_and_reads_back(&loaded);
            let task = TaskIdentity {
                task_arn: "arn:aws:ecs:eu-west-1:111122223333:task/c/0123".to_owned(),
                task_id: "0123".to_owned(),
                family: "web".to_owned(),
                revision: "1".to_owned(),
                ..TaskIdentity::default()
            };
            super::payloads(&loaded, &task, TaskSource::Unknown("fuzzed".to_owned()));
            true
        }
        Err(ConfigErrors(errors)) => {
            assert_eq!(code, 64);
            assert!(!errors.is_empty());
            for error in &errors {
                assert!(!error.path.is_empty() && !error.message.is_empty(), "{error:?}");
            }
            false
        }
    }
}

fn prints_and_reads_back(loaded: &Loaded) {
    let printed = serde_json::to_string(&loaded.config).expect("every configuration is JSON");
    let again = Bytes(BTreeMap::from([(OURS, printed.clone().into_bytes())]));
    match config::load(&Sources::default(), &again) {
        Ok(again) => assert_eq!(again.config, loaded.config, "{printed}"),
        Err(errors) => panic!("printed, but not accepted again: {errors}\n{printed}"),
    }
}
