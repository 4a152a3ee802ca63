//! The command line of consul-ecs 0.4.3, for app entry points that lead to `<bootstrapDir>/consul-ecs`.
//!
//! Only its app wrapper goes on: `consul-ecs app-entrypoint -shutdown-delay 10s -- CMD` is `taskmesh app
//! --stop-delay-min 10s --start-alone -- CMD`. What else 0.4.3 ran in containers of its own is done by the supervisor,
//! and whoever calls it is told so. Flags are read as Go's `flag` package does: one dash or two, `-flag=value` or
//! `-flag value`, up to the first argument that is none.

use std::ffi::OsString;
use std::time::Duration;

/// 0.4.3's other subcommands, and what stands in their place.
const REPLACED: [(&str, &str); 4] = [
    (
        "mesh-init",
        "taskmesh registers the service and makes Envoy's bootstrap itself; remove the container that runs this \
         (consul-ecs-mesh-init)",
    ),
    (
        "envoy-entrypoint",
        "taskmesh runs Envoy itself; remove the container that runs this (sidecar-proxy)",
    ),
    (
        "health-sync",
        "taskmesh syncs the ECS health itself; remove the container that runs this (consul-ecs-health-sync)",
    ),
    (
        "acl-controller",
        "taskmesh has no ACL controller; keep the task with consul-ecs 0.4.3 for it, it works with taskmesh's tasks",
    ),
];

const USAGE: &str = "\
taskmesh, called as consul-ecs: takes the place of consul-ecs 0.4.3 in the entry points of apps.

Usage: consul-ecs app-entrypoint [-shutdown-delay DURATION] [--] CMD [ARGS]
       consul-ecs version

CMD is started once the task is on the mesh, and gets its TERM when its peers know that it stops, and DURATION has
passed at the least. The same, and more, is `taskmesh app --stop-delay-min DURATION -- CMD`.
";

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The app wrapper: these arguments of `taskmesh`, without its name.
    App(Vec<OsString>),
    /// Print this on standard output.
    Print(String),
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// What is wrong with them, for standard error.
pub fn translate(args: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut args = args.into_iter();
    let command = args.next().unwrap_or_default();
    match command.to_string_lossy().as_ref() {
        "app-entrypoint" => app_entrypoint(args.collect()),
        "version" | "-v" | "-version" | "--version" => {
            Ok(Asked::Print(format!("taskmesh {}, as consul-ecs\n", env!("CARGO_PKG_VERSION"))))
        }
        "help" | "-h" | "-help" | "--help" => Ok(Asked::Print(USAGE.to_owned())),
        "" => Err(format!("consul-ecs: there is no command\n\n{USAGE}")),
        other => Err(match REPLACED.iter().find(|(name, _)| *name == other) {
            Some((name, instead)) => format!("consul-ecs {name}: {instead}\n"),
            None => format!("consul-ecs: there is no command {other:?}\n\n{USAGE}"),
        }),
    }
}

fn app_entrypoint(args: Vec<OsString>) -> Result<Asked, String> {
    let wrong = |why: String| format!("consul-ecs app-entrypoint: {why}\n\n{USAGE}");
    let mut delay = Duration::ZERO;
    let mut rest = args.into_iter().peekable();
    while let Some(word) = rest.next_if(is_flag) {
        let word = word.to_string_lossy().into_owned();
        if word == "--" {
            break;
        }
        let flag = word.strip_prefix("--").or(word.strip_prefix('-')).unwrap_or_default();
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        match name {
            "h" | "help" => return Ok(Asked::Print(USAGE.to_owned())),
            "shutdown-delay" => {}
            _ => return Err(wrong(format!("there is no flag {word}"))),
        }
        let value = value.or_else(|| rest.next().map(|word| word.to_string_lossy().into_owned()));
        let value = value.ok_or_else(|| wrong("-shutdown-delay needs a duration".to_owned()))?;
        delay = go_duration(&value).ok_or_else(|| {
            wrong(format!("-shutdown-delay: {value:?} is no duration; write 10s, 1m30s, 500ms"))
        })?;
    }
    if rest.peek().is_none() {
        return Err(wrong("there is no command to run".to_owned()));
    }
    let ours = ["app", "--start-alone", "--stop-delay-min"].map(OsString::from);
    let delay = OsString::from(format!("{}ns", delay.as_nanos()));
    Ok(Asked::App(ours.into_iter().chain([delay, OsString::from("--")]).chain(rest).collect()))
}

/// `-` alone is an argument.
fn is_flag(word: &OsString) -> bool {
    let bytes = word.as_encoded_bytes();
    bytes.len() > 1 && bytes[0] == b'-'
}

/// Go's `time.ParseDuration`. What is negative there never delayed anything: zero.
fn go_duration(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let units = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(units);
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        nanos = nanos.checked_add(whole.checked_mul(unit)?)?;
        // Digits beyond the nanosecond's are dropped, as Go drops them.
        let mut place = unit;
        for digit in fraction.bytes() {
            place /= 10;
            nanos += u128::from(digit - b'0') * place;
        }
        rest = next;
    }
    // Go's durations are 63 bits of nanoseconds.
    let nanos = i64::try_from(nanos).ok()?.unsigned_abs();
    Some(if negative { Duration::ZERO } else { Duration::from_nanos(nanos) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Asked, String> {
        translate(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from))
    }

    #[track_caller]
    fn app(line: &str) -> (String, String) {
        match asked(line) {
            Ok(Asked::App(words)) => {
                let words: Vec<_> =
                    words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
                assert_eq!(words[..3], ["app", "--start-alone", "--stop-delay-min"]);
                assert_eq!(words[4], "--");
                (words[3].clone(), words[5..].join(" "))
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let ten = "10000000000ns".to_owned();
        for line in [
            "-shutdown-delay 10s -- run -x --",
            "--shutdown-delay 10s run -x --",
            "-shutdown-delay=10s run -x --",
            "--shutdown-delay=10s -- run -x --",
            "-shutdown-delay 3s -shutdown-delay 10s -- run -x --",
        ] {
            let line = format!("app-entrypoint {line}");
            assert_eq!(app(&line), (ten.clone(), "run -x --".to_owned()), "{line}");
        }
        for line in ["run", "-- run", "-shutdown-delay 0 run", "-shutdown-delay -5s -- run"] {
            let line = format!("app-entrypoint {line}");
            assert_eq!(app(&line), ("0ns".to_owned(), "run".to_owned()), "{line}");
        }
        // Flags end at the first argument that is none: what follows is the command's.
        assert_eq!(app("app-entrypoint run -shutdown-delay 3s -h").1, "run -shutdown-delay 3s -h");
        assert_eq!(app("app-entrypoint -- -run").1, "-run");
        assert_eq!(app("app-entrypoint - x").1, "- x");
    }

    #[test]
    fn what_go_refuses_is_refused_and_named() {
        for (line, why) in [
            ("", "there is no command"),
            ("run", "no command \"run\""),
            ("app-entrypoint", "no command to run"),
            ("app-entrypoint -shutdown-delay 1s", "no command to run"),
            ("app-entrypoint -shutdown-delay 1s --", "no command to run"),
            ("app-entrypoint -shutdown-delay", "needs a duration"),
            ("app-entrypoint -shutdown-delay 10 -- x", "\"10\" is no duration"),
            ("app-entrypoint -shutdown-delay= -- x", "\"\" is no duration"),
            ("app-entrypoint -delay 1s -- x", "no flag -delay"),
            ("app-entrypoint ---shutdown-delay 1s x", "no flag ---shutdown-delay"),
        ] {
            let error = asked(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
            assert!(error.contains("app-entrypoint [-shutdown-delay DURATION]"), "{error}");
        }
    }

    #[test]
    fn a_command_that_is_gone_says_what_stands_in_its_place() {
        for (line, what) in [
            ("mesh-init", "consul-ecs-mesh-init"),
            ("envoy-entrypoint envoy --config-path x", "sidecar-proxy"),
            ("health-sync", "consul-ecs-health-sync"),
            ("acl-controller -secret-name-prefix x", "controller"),
        ] {
            let error = asked(line).unwrap_err();
            assert!(error.contains("taskmesh") && error.contains(what), "{error}");
        }
    }

    #[test]
    fn version_and_help_are_printed() {
        for line in ["version", "--version", "help", "app-entrypoint -h", "app-entrypoint --help"] {
            assert!(matches!(asked(line), Ok(Asked::Print(_))), "{line}");
        }
    }

    #[test]
    fn durations_are_gos() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5s", 1500),
            ("0", 0),
            ("+2s", 2000),
            (".5h", 1_800_000),
            ("1.s", 1000),
            ("1h0.5m1s", 3_631_000),
            ("2000us", 2),
            ("3000000ns", 3),
        ] {
            assert_eq!(go_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(go_duration("-1s"), Some(Duration::ZERO));
        for text in ["", "10", "s", "1 s", "1d", "1.2.3s", ".s", "+", "-", "soon", "3000000h", "1S"]
        {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }
}
