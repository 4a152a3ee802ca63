//! The figures as tables: for a terminal of 80 columns, and as Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use super::Report;
use super::figures::{ENDS, INSIDE, Life, Mesh, Milestone, Probe, STARTS, Spread, Steady};

/// The head of the rounds.
pub(super) const ROUND_HEAD: &str =
    "  round            registered  listener   offered       app  stopped in";
/// The head of the supervisors.
pub(super) const STEADY_HEAD: &str =
    "  size  requests      RSS      PSS     anon  threads  fds  wake-ups/s    CPU";

const GOAL_RSS: &str = "8 MiB; 12 MiB at 200";
const GOAL_ANON: &str = "2 MiB";
const GOAL_THREADS: &str = "2";
const GOAL_CPU: &str = "0.15 %, idle";
const GOAL_SIZE: &str = "<= 12 MB";
const GOAL_PROBE_TIME: &str = "<= 5 ms";
const GOAL_PROBE_MEMORY: &str = "<= 4 MiB";

/// What is measured, and where.
pub(super) fn about(report: &Report) -> Vec<String> {
    let build = if report.debug { "a debug build" } else { "a release build" };
    vec![
        format!("taskmesh {}, {build}, {:.2} MB", env!("CARGO_PKG_VERSION"), megabytes(report)),
        format!("Envoy {}", report.envoy),
        report.machine.text(),
        format!("load average before it: {:.2}", report.machine.load),
    ]
}

fn megabytes(report: &Report) -> f64 {
    report.size as f64 / 1e6
}

/// One life for the terminal.
pub(super) fn round(number: usize, who: &str, life: &Life) -> String {
    let s = |time: Duration| format!("{:.3} s", time.as_secs_f64());
    format!(
        "  {number:>5}  {who:<8} {:>11} {:>9} {:>9} {:>9} {:>11}",
        s(life.start.registered),
        s(life.start.listener),
        s(life.start.offered),
        s(life.start.app),
        s(life.end.exited),
    )
}

/// The two beside each other.
struct Pair<'a> {
    milestone: &'a Milestone,
    floor: Option<Spread>,
    taskmesh: Option<Spread>,
}

fn pairs<'a>(mesh: &Mesh, milestones: &'a [Milestone]) -> Vec<Pair<'a>> {
    let spread =
        |lives: &[Life], of: fn(&Life) -> Option<Duration>| Spread::of(lives.iter().filter_map(of));
    let pair = |milestone: &'a Milestone| Pair {
        milestone,
        floor: spread(&mesh.floor, milestone.of),
        taskmesh: spread(&mesh.taskmesh, milestone.of),
    };
    milestones.iter().map(pair).collect()
}

impl Pair<'_> {
    /// Least, median and most of both, and the ratio of the medians.
    fn cells(&self) -> [String; 7] {
        let three = |spread: Option<Spread>| match spread {
            Some(s) => [s.min, s.median, s.max].map(|time| format!("{:.3}", time.as_secs_f64())),
            None => ["-"; 3].map(str::to_owned),
        };
        let both = self.taskmesh.zip(self.floor).filter(|_| self.milestone.same);
        let ratio = both.map(|(ours, floor)| ours.over(floor));
        let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2} x"));
        let [a, b, c] = three(self.floor);
        let [d, e, f] = three(self.taskmesh);
        [a, b, c, d, e, f, ratio]
    }
}

/// Start and stop for the terminal.
pub(super) fn times(mesh: &Mesh) -> Vec<String> {
    let mut lines = Vec::new();
    let mut goals = Vec::new();
    for (title, milestones) in [("start", &STARTS[..]), ("stop", &ENDS[..])] {
        lines.push(format!("  {title:<16} floor: min    med    max taskmesh: min    med    max"));
        for pair in pairs(mesh, milestones) {
            let [a, b, c, d, e, f, ratio] = pair.cells();
            let Milestone { name, goal, .. } = pair.milestone;
            let line = format!("  {name:<16}{a:>11}{b:>7}{c:>7}{d:>14}{e:>7}{f:>7}{ratio:>8}");
            lines.push(line);
            if !goal.is_empty() {
                goals.push(format!("{name} {goal}"));
            }
        }
    }
    lines.push(format!("  goals: {}", goals.join("; ")));
    lines
}

/// A supervisor for the terminal.
pub(super) fn steady(steady: &Steady) -> String {
    let [size, load, rss, pss, anon, _, threads, fds, wakeups, cpu] = steady_cells(steady);
    format!(
        "  {size:>4} {load:>9} {rss:>8} {pss:>8} {anon:>8} {threads:>8} {fds:>4} {wakeups:>11} {cpu:>6} %"
    )
}

fn steady_cells(steady: &Steady) -> [String; 10] {
    let mib = |kib: u64| format!("{:.2}", kib as f64 / 1024.0);
    [
        steady.size.to_string(),
        steady.load.map_or_else(|| "idle".to_owned(), |rate| format!("{rate:.0}/s")),
        mib(steady.rss),
        steady.pss.map_or_else(|| "-".to_owned(), mib),
        mib(steady.anon),
        mib(steady.peak),
        steady.threads.to_string(),
        steady.descriptors.to_string(),
        format!("{:.1}", steady.wakeups),
        format!("{:.2}", steady.cpu),
    ]
}

/// What is aimed at, for the terminal.
pub(super) fn goals() -> String {
    format!("  goals: RSS {GOAL_RSS}; anon {GOAL_ANON}; threads {GOAL_THREADS}; CPU {GOAL_CPU}")
}

/// The health check for the terminal.
pub(super) fn probed(probe: &Probe) -> String {
    format!(
        "  healthcheck: {:.1} ms, {:.2} MiB (goals: {GOAL_PROBE_TIME}, {GOAL_PROBE_MEMORY})",
        probe.ms,
        probe.kib as f64 / 1024.0
    )
}

/// All of it as a document. `picture` is the picture's file.
pub(super) fn markdown(report: &Report, picture: &str) -> String {
    let mut out = String::new();
    let mut add = |line: &str| writeln!(out, "{line}").unwrap_or_default();
    INTRODUCTION.iter().for_each(|line| add(line));
    about(report).iter().for_each(|line| add(&format!("- {line}")));
    if report.meshes.iter().any(|mesh| !mesh.real) {
        add("- The development mesh is not Consul, and its figures are not Consul's.");
    }
    add("");
    add(&format!("![Start of the floor and of taskmesh, and the supervisor's memory]({picture})"));
    for mesh in &report.meshes {
        add("");
        section(mesh, report, &mut add);
    }
    out
}

const INTRODUCTION: [&str; 19] = [
    "# The figures of `taskmesh run`",
    "",
    "Made by `make bench`; do not edit. *Floor* is a [bash script](../testbed/src/bench/floor.sh) that does the least",
    "that puts an app on the mesh: it starts the agent, registers, has the bootstrap made, starts Envoy, waits for its",
    "port and starts the app, with a try every 10 ms. It stops by ending app, Envoy and agent at once, and protects no",
    "request. The floor and taskmesh live in turns, each in a simulated ECS task in a network namespace of its own, with",
    "the same Consul, Envoy, app, agent configuration and registrations, and are looked at from outside in the same way.",
    "",
    "Times are in seconds, from the start of the container or from the first TERM; *x* is the median of taskmesh as a",
    "multiple of the floor's. Goals are aims, which no test asserts.",
    "",
    "The floor is offered when the agent first tries its port, at a random moment of 10 s, for it leaves the check as it",
    "is; later still where it registered before its agent knew a server, and the agent tells the servers only at its next try.",
    "A supervisor's program is shared with the wrapper in the app's container, and here with the other tasks too, so that PSS",
    "tells more of this machine than of one in which a task is alone. Wake-ups are the switches to its threads. App, load",
    "client and development mesh are debug builds in all of it. The requests come from a second task, through both Envoys.",
    "",
    "Measured on:",
    "",
];

fn section(mesh: &Mesh, report: &Report, add: &mut impl FnMut(&str)) {
    add(&format!("## On {}", mesh.name));
    for (title, milestones) in [("start", &STARTS[..]), ("stop", &ENDS[..])] {
        add("");
        add(&format!(
            "| {title}, rounds: {} | floor: min | median | max | taskmesh: min | median | max | x | goal |",
            mesh.taskmesh.len()
        ));
        add("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
        for pair in pairs(mesh, milestones) {
            let [name, goal] = [pair.milestone.name, pair.milestone.goal];
            add(&format!("| {name} | {} | {goal} |", pair.cells().join(" | ")));
        }
    }
    add("");
    let leave = Spread::of(mesh.taskmesh.iter().filter_map(|life| Some(life.own?.leave)));
    let dwell = Spread::of(mesh.taskmesh.iter().filter_map(|life| Some(life.own?.dwell)));
    if let (Some(leave), Some(dwell)) = (leave, dwell) {
        add(&format!(
            "Of taskmesh's stop {:.2} s are the agent's own leave and {:.2} s what peers' Envoys get to learn of it (medians);",
            leave.median.as_secs_f64(),
            dwell.median.as_secs_f64()
        ));
        add("the rest is its own part. By its own timeline its start is, in medians:");
        let inside: Vec<_> = INSIDE
            .iter()
            .filter_map(|event| {
                let median =
                    Spread::of(mesh.taskmesh.iter().filter_map(|life| life.event(*event)))?;
                Some(format!("`{}` {:.3} s", event.name(), median.median.as_secs_f64()))
            })
            .collect();
        add(&format!("{}.", inside.join(", ")));
        add("");
    }
    add(&format!(
        "The supervisor over {} s; its size is the number of synced containers, and of upstreams. Idle ones of all sizes are\n\
         looked at together, those under load one after the other. Memory in MiB.",
        report.period.as_secs()
    ));
    add("");
    add(
        "| size | requests | RSS | PSS | anonymous | peak | threads | descriptors | wake-ups a second | CPU of a core |",
    );
    add("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for steady in &mesh.steady {
        add(&format!("| {} % |", steady_cells(steady).join(" | ")));
    }
    add(&format!("| goal | | {GOAL_RSS} | | {GOAL_ANON} | | {GOAL_THREADS} | | | {GOAL_CPU} |"));
    if let Some(line) = growth(mesh) {
        add("");
        add(&line);
    }
    add("");
    add("| | | goal |");
    add("|---|--:|--:|");
    add(&format!("| size of the binary | {:.2} MB | {GOAL_SIZE} |", megabytes(report)));
    add(&format!(
        "| `taskmesh healthcheck`, median | {:.1} ms | {GOAL_PROBE_TIME} |",
        mesh.probe.ms
    ));
    add(&format!(
        "| its memory at the most | {:.2} MiB | {GOAL_PROBE_MEMORY} |",
        mesh.probe.kib as f64 / 1024.0
    ));
}

/// From the smallest idle supervisor to the largest.
fn growth(mesh: &Mesh) -> Option<String> {
    let idle = || mesh.steady.iter().filter(|steady| steady.load.is_none());
    let (small, large) =
        (idle().min_by_key(|steady| steady.size)?, idle().max_by_key(|steady| steady.size)?);
    let more = large.size.checked_sub(small.size).filter(|more| *more > 0)? as f64;
    let each = |of: fn(&Steady) -> f64| (of(large) - of(small)) / more;
    Some(format!(
        "Each further container, with its upstream, takes {:.1} KiB, {:.1} of them anonymous, and {:.3} % of a core.",
        each(|steady| steady.rss as f64),
        each(|steady| steady.anon as f64),
        each(|steady| steady.cpu),
    ))
}
