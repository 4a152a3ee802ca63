//! How much processor time a process has taken.

use nix::unistd::{SysconfVar, sysconf};
use std::time::Duration;

/// User and system time of a process and all its threads; `None` once it is gone. In steps of 10 ms.
pub fn cpu_time(pid: i32) -> Option<Duration> {
    read(&format!("/proc/{pid}/stat"))
}

/// The same of its first thread alone.
pub fn main_thread_cpu_time(pid: i32) -> Option<Duration> {
    read(&format!("/proc/{pid}/task/{pid}/stat"))
}

fn read(path: &str) -> Option<Duration> {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    let ticks = ticks(&std::fs::read_to_string(path).ok()?)?;
    Some(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// `utime` and `stime` of `/proc/PID/stat` (proc(5)), in clock ticks.
fn ticks(stat: &str) -> Option<u64> {
    // The second field is the program's name in brackets, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_count_whatever_the_programs_name_is() {
        let stat = "7 (a) b (c)) R 1 7 7 0 -1 4194304 100 0 0 0 250 30 9 9 20 0 1 0 100 1 1";
        assert_eq!(ticks(stat), Some(280));
        assert_eq!(ticks("7 (a) R 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn our_own_grows_as_we_work_and_nobodys_is_none() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let before = cpu_time(pid).unwrap();
        let mut n = 0_u64;
        while cpu_time(pid).unwrap() < before + Duration::from_millis(50) {
            n = std::hint::black_box(n + 1);
        }
        // The test's own thread is not the first.
        assert!(main_thread_cpu_time(pid).unwrap() < cpu_time(pid).unwrap());
        assert_eq!((cpu_time(-1), main_thread_cpu_time(-1)), (None, None));
    }
}
