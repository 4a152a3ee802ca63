use super::*;
use std::fs;

const V1: &str = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
const V2: &str = "low 0\nhigh 0\nmax 41\noom 2\noom_kill 2\noom_group_kill 1\n";

#[test]
fn both_versions_counters_are_read() {
    assert_eq!((oom_kills(V1), oom_kills(V2)), (Some(3), Some(2)));
    // Linux before 4.13 does not count; what is damaged says nothing.
    for text in ["oom_kill_disable 0\nunder_oom 0\n", "", "oom_kill", "oom_kill many\n"] {
        assert_eq!(oom_kills(text), None, "{text:?}");
    }
}

#[test]
fn both_versions_limits_are_read() {
    for (text, bytes) in [
        ("536870912\n", Some(536_870_912)),
        ("max\n", None),
        ("9223372036854771712\n", None),
        ("", None),
    ] {
        assert_eq!(limit(text), bytes, "{text:?}");
    }
    let words = [536_870_912, 1_048_577, 4096].map(size);
    assert_eq!(words, ["512 MiB", "1048577 bytes", "4096 bytes"]);
}

/// Writes a counter and a limit, as the kernel would show them there.
fn cgroup(dir: &Path, kills: (&str, u64), limit: (&str, &str)) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join(kills.0), format!("oom_kill {}\n", kills.1)).unwrap();
    fs::write(dir.join(limit.0), limit.1).unwrap();
}

#[test]
fn our_own_cgroup_is_found_wherever_it_is() {
    for (own, path) in [
        // Version 2: a namespace of its own; the host's view; the host's view with only our part mounted.
        ("0::/\n", ""),
        ("0::/ecs/task/container\n", "ecs/task/container"),
        ("0::/ecs/task/container\n", ""),
        ("0::/../other\n", ""),
        // Both versions: memory may be with either.
        ("1:name=systemd:/\n0::/a\n", "unified/a"),
        // Version 1: the host's view, and that with only our part mounted, as Docker has it.
        ("9:cpu,cpuacct:/x\n4:memory:/ecs/task/id\n0::/\n", "memory/ecs/task/id"),
        ("4:cpuset,memory:/ecs/task/a:b\n", "memory/ecs/task/a:b"),
        ("4:memory:/ecs/task/id\n", "memory"),
    ] {
        let mounted = tempfile::tempdir().unwrap();
        let v1 = path.starts_with("memory");
        let names = if v1 {
            ("memory.oom_control", "memory.limit_in_bytes")
        } else {
            ("memory.events", "memory.max")
        };
        cgroup(&mounted.path().join(path), (names.0, 1), (names.1, "268435456\n"));
        let memory = Memory::of(own, mounted.path());
        assert_eq!(memory.ran_out(), None, "{own}: what was before us");
        cgroup(&mounted.path().join(path), (names.0, 2), (names.1, "268435456\n"));
        let words = memory.ran_out().expect(own);
        assert_eq!(words, "killed, out of memory (limit 256 MiB)", "{own}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shortage_counts_for_all_that_end_with_it_and_not_for_later_ends() {
    let mounted = tempfile::tempdir().unwrap();
    let counted = |kills| {
        cgroup(mounted.path(), ("memory.events", kills), ("memory.max", "max\n"));
    };
    counted(7);
    let memory = Memory::of("0::/", mounted.path());
    counted(9);
    let words = "killed, out of memory (no limit of this container's own)";
    assert_eq!(
        [memory.ran_out(), memory.ran_out()],
        [Some(words.to_owned()), Some(words.to_owned())]
    );
    tokio::time::advance(SAME_SHORTAGE).await;
    assert_eq!(memory.ran_out(), None);
    counted(10);
    assert!(memory.ran_out().is_some());
}

#[test]
fn without_a_counter_nothing_is_said() {
    let mounted = tempfile::tempdir().unwrap();
    for own in ["", "garbage", "4:memory:/x\n0::/\n"] {
        assert_eq!(Memory::of(own, mounted.path()).ran_out(), None);
    }
}
