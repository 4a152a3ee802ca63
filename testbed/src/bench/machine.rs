//! Where it was measured.

use std::fs;

/// A machine, in words.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    /// In GiB.
    pub(super) memory: f64,
    pub(super) kernel: String,
    /// Its load average of a minute, before anything of ours: figures of a busy machine are worth little.
    pub(super) load: f64,
}

impl Machine {
    /// This one, as `/proc` tells it.
    pub(super) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        let kernel = read("/proc/sys/kernel/osrelease");
        // What follows the numbers names the machine's maker more than the kernel.
        let kernel = kernel.trim().split('-').next().unwrap_or_default().to_owned();
        let cpu = read("/proc/cpuinfo");
        let load = read("/proc/loadavg");
        let load = load.split(' ').next().and_then(|text| text.parse().ok());
        Self {
            cpu: value(&cpu, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: kib.unwrap_or_default() / 1024.0 / 1024.0,
            kernel,
            load: load.unwrap_or_default(),
        }
    }

    /// In one line.
    pub(super) fn text(&self) -> String {
        let Self { cpu, cores, memory, kernel, .. } = self;
        format!("{cpu}, {cores} cores, {memory:.0} GiB, Linux {kernel}")
    }
}
