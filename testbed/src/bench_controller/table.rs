//! What was measured, as the table of `docs/controller.md`.

use std::collections::BTreeMap;
use std::time::Duration;

/// A round that had nothing to do.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// Calls by name.
    pub(super) calls: BTreeMap<String, usize>,
    /// From its first call to its last answer.
    pub(super) took: Duration,
}

/// All that was measured.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Consul's version.
    pub(super) consul: String,
    /// Services that are new, and the time to the last token.
    pub(super) new_services: Vec<(usize, Duration)>,
    /// Tasks of the large cluster.
    pub(super) tasks: usize,
    pub(super) quiet: Option<Quiet>,
    /// From the page that lists a late task to its token.
    pub(super) from_listed: Vec<Duration>,
    /// From its start.
    pub(super) from_start: Vec<Duration>,
    pub(super) memory_kib: u64,
}

/// What `ListTasks` gives at once.
const PAGE: usize = 100;
const MOST_MEMORY_KIB: u64 = 64 * 1024;
const MOST_FROM_LISTED: Duration = Duration::from_secs(2);

impl Figures {
    /// What is not as it should be, in words.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let pages = self.tasks.div_ceil(PAGE);
        let expected = [("GET acl/policies", 1), ("GET acl/tokens", 1), ("ListTasks", pages)];
        let expected = expected.map(|(name, n)| (name.to_owned(), n)).into();
        if let Some(quiet) = &self.quiet
            && quiet.calls != expected
        {
            problems.push(format!("a quiet round asked {:?}", quiet.calls));
        }
        if self.memory_kib >= MOST_MEMORY_KIB {
            problems.push(format!("{} KiB of memory", self.memory_kib));
        }
        if let Some(longest) = self.from_listed.iter().max().filter(|t| **t >= MOST_FROM_LISTED) {
            problems.push(format!("{longest:?} from the page that lists a task to its token"));
        }
        problems
    }

    /// The file.
    pub(super) fn markdown(&self) -> String {
        let mut lines: Vec<String> = [
            "# The controller's figures",
            "",
            "Made by `make bench-controller`; do not edit. Consul is real; ECS is a stand-in that lists page by page,",
            "Secrets Manager is moto. Each call of all three takes 20 ms more than it does by itself, and AWS's rates are",
            "enforced: 20 a second of `ListTasks` and `DescribeTasks` (100 at once), 50 a second of each kind of write at",
            "Secrets Manager. The controller has its defaults, and asks for half of the one and 30 a second of the other.",
            "",
        ]
        .map(str::to_owned)
        .into();
        lines.push(format!(
            "Made on Consul {}, {} cores, a debug build of taskmesh.",
            self.consul,
            std::thread::available_parallelism().map_or(0, usize::from),
        ));
        lines.extend(["", "| what | | bound |", "|---|--:|--:|"].map(str::to_owned));
        let mut row = |what: String, figure: String, bound: &str| {
            lines.push(format!("| {what} | {figure} | {bound} |"));
        };
        for (services, took) in &self.new_services {
            let at_once =
                format!("{services} new services, start of the controller to the last token");
            row(at_once, seconds(*took), "");
        }
        let tasks = self.tasks;
        if let Some(quiet) = &self.quiet {
            let calls = |name: &str| quiet.calls.get(name).copied().unwrap_or_default();
            let pages = tasks.div_ceil(PAGE);
            let others = quiet.calls.values().sum::<usize>() - calls("ListTasks");
            let what = format!("a quiet round of {tasks} tasks: calls of AWS");
            row(what, format!("{}", calls("ListTasks")), &format!("{pages} pages"));
            let what =
                format!("a quiet round of {tasks} tasks: other calls, the two lists of Consul");
            row(what, others.to_string(), "2");
            row(format!("a quiet round of {tasks} tasks: time"), seconds(quiet.took), "");
        }
        let what =
            format!("one more task among {tasks}, the page that lists it to its token: median");
        row(what, seconds(median(&self.from_listed)), "");
        row("the same, longest".to_owned(), seconds(longest(&self.from_listed)), "2 s");
        let what = "the same, from its start, on the last page: median".to_owned();
        row(what, seconds(median(&self.from_start)), "");
        row("the same, longest".to_owned(), seconds(longest(&self.from_start)), "");
        let memory = format!("{:.1} MiB", self.memory_kib as f64 / 1024.0);
        row("the controller's memory at its most (VmHWM)".to_owned(), memory, "64 MiB");
        lines.push(String::new());
        lines.join("\n")
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn longest(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_its_bound_is_told_and_the_table_has_every_figure() {
        let calls = [("GET acl/policies", 1), ("GET acl/tokens", 1), ("ListTasks", 3)];
        let calls: BTreeMap<_, _> = calls.map(|(name, n)| (name.to_owned(), n)).into();
        let mut figures = Figures {
            new_services: vec![(100, Duration::from_secs(4))],
            tasks: 300,
            quiet: Some(Quiet { calls: calls.clone(), took: Duration::from_secs(1) }),
            from_listed: [100, 200, 1900].map(Duration::from_millis).into(),
            memory_kib: 20 * 1024,
            ..Figures::default()
        };
        assert_eq!(figures.problems(), Vec::<String>::new());
        let text = figures.markdown();
        for part in ["| 4.00 s |", "| 3 | 3 pages |", "| 0.20 s |", "| 1.90 s | 2 s |", "20.0 MiB"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        figures.tasks = 301;
        figures.from_listed.push(Duration::from_secs(2));
        figures.memory_kib = 64 * 1024;
        assert_eq!(figures.problems().len(), 3);
    }
}
