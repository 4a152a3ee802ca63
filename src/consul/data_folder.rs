//! The agent's data folder: what in it is the agent's, and when the agent's end is the folder's fault.

use std::path::Path;

/// What client agents, 1.8.7 to 1.23, put into their data folder. Nothing else in it is ours to remove: a user may have
/// named a folder with other things in it.
pub const DATA_FOLDER_ENTRIES: [&str; 8] = [
    "acl-tokens.json",
    "auto-config.json",
    "checkpoint-signature",
    "checks",
    "node-id",
    "proxy",
    "serf",
    "services",
];

/// Files of which one is in every folder that an agent has used: by them such a folder is told from another.
pub const DATA_FOLDER_MARKS: [&str; 2] = ["serf/local.snapshot", "serf/local.keyring"];

/// The line in which an agent that has exited says that it cannot use what is in its data folder. A folder that it may
/// not write to, or a full disk, is no such case: an emptied folder would not help.
pub fn blames_data_folder<'a>(last_lines: &'a [String], data_dir: &Path) -> Option<&'a str> {
    const OTHER_CAUSES: [&str; 5] = [
        "permission denied",
        "no space left",
        "read-only file system",
        "input/output error",
        "too many open files",
    ];
    let dir = data_dir.to_string_lossy();
    let dir = dir.trim_end_matches('/');
    last_lines.iter().map(String::as_str).find(|line| {
        line.contains("Error starting agent")
            // The keyring's message is the one that does not say which file it is about.
            && (line.contains(dir) || line.contains("Failed to configure keyring"))
            && !OTHER_CAUSES.iter().any(|cause| line.to_lowercase().contains(cause))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_blamed_by_what_real_agents_said() {
        let blamed = |line: &str| {
            let lines = ["==> Starting Consul agent...".to_owned(), line.to_owned()];
            blames_data_folder(&lines, Path::new("/consul/data/")).map(str::to_owned)
        };
        for line in [
            "2026-11-22T23:31:53.390Z [ERROR] agent: Error starting agent: error=\"Failed to configure keyring: invalid \
             character 'g' looking for beginning of value\"",
            "2026-11-22T23:31:54.902Z [ERROR] agent: Error starting agent: error=\"Failed to configure keyring: mkdir \
             /consul/data/serf: not a directory\"",
            "2026-11-22T23:32:20.352Z [ERROR] agent: Error starting agent: error=\"Failed reading service configs dir \
             \\\"/consul/data/services/configs\\\": open /consul/data/services/configs: not a directory\"",
        ] {
            assert_eq!(blamed(line).as_deref(), Some(line));
        }
        for line in [
            "[ERROR] agent: Error starting agent: error=\"mkdir /consul/data/serf: permission denied\"",
            "[ERROR] agent: Error starting agent: error=\"write /consul/data/serf/local.keyring: no space left on device\"",
            "[ERROR] agent: Error starting agent: error=\"Failed to start Consul client: bind: address already in use\"",
            "[INFO]  agent: Exit code: code=1",
            "[WARN]  agent: Failed decoding service file: file=/consul/data/services/1",
        ] {
            assert_eq!(blamed(line), None);
        }
    }
}
