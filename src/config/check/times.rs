//! Times: bounds, and whether the steps of a stop fit into the time that ECS gives.

use super::Rules;
use crate::config::model::Config;
use crate::config::path::Path;
use std::time::Duration;

/// What a Fargate task definition can ask for at the most.
const LONGEST_STOP_ON_FARGATE: Duration = Duration::from_secs(120);

pub(super) fn check(config: &Config, rules: &mut Rules<'_>) {
    bounds(config, rules);
    stop_budget(config, rules);
}

fn bounds(config: &Config, rules: &mut Rules<'_>) {
    let (life, sync, restart) = (&config.lifecycle, &config.health_sync, &config.restart);
    let seconds = Duration::from_secs;
    let milliseconds = Duration::from_millis;
    let day = seconds(86_400);
    let minute = seconds(60);
    for (path, value, least, most) in [
        // Refreshed at a third: 1 s is the least that leaves room for a slow agent.
        ("healthSync.ttl", sync.ttl, seconds(3), day),
        ("healthSync.startGrace", sync.start_grace, Duration::ZERO, day),
        ("healthSync.staleAfter", sync.stale_after, seconds(1), day),
        ("lifecycle.startTimeout", life.start_timeout, seconds(1), day),
        ("lifecycle.stopTimeout", life.stop_timeout, seconds(2), day),
        ("lifecycle.totalStop", life.total_stop, seconds(2), day),
        ("lifecycle.killReserve", life.kill_reserve, milliseconds(100), minute),
        // The task metadata endpoint throttles at 40 requests a second per task.
        ("lifecycle.metadataInterval", life.metadata_interval, milliseconds(100), seconds(10)),
        // Consul coalesces for 200 ms, and the last request was seen up to 216 ms after the servers' word.
        ("lifecycle.propagation.dwell", life.propagation.dwell, milliseconds(500), day),
        (
            "lifecycle.propagation.dwellUnacked",
            life.propagation.dwell_unacked,
            milliseconds(500),
            day,
        ),
        // Each attempt asks every server, and a cloud's API for an auto-join string.
        ("consul.retryInterval", config.consul.retry_interval, milliseconds(100), day),
        // A lost agent is told from a slow one within seconds; a network's fault should not make peers forget it.
        ("consul.reconnectTimeout", config.consul.reconnect_timeout, minute, 30 * day),
        // Secrets Manager takes money for each read.
        ("consul.tokenInterval", config.consul.token_interval, seconds(1), day),
        ("restart.window", restart.window, seconds(1), day),
        ("restart.backoff.min", restart.backoff.min, milliseconds(10), minute),
    ] {
        if value < least {
            rules.error(
                [&Path::of(path)],
                format!("must be at least {}, not {}", show(least), show(value)),
            );
        } else if value > most {
            rules.error(
                [&Path::of(path)],
                format!("must be at most {}, not {}", show(most), show(value)),
            );
        }
    }
    let silent = restart.unresponsive_after;
    if !silent.is_zero() && !(seconds(1)..=seconds(3600)).contains(&silent) {
        let message = format!("must be 0s (never), or 1s to 1h, not {}", show(silent));
        rules.error([&Path::of("restart.unresponsiveAfter")], message);
    }
    let (min, max) = (Path::of("restart.backoff.min"), Path::of("restart.backoff.max"));
    if restart.backoff.max < restart.backoff.min {
        let least = show(restart.backoff.min);
        rules.error(
            [&max, &min],
            format!("must be at least backoff.min, {least}, not {}", show(restart.backoff.max)),
        );
    }
}

fn stop_budget(config: &Config, rules: &mut Rules<'_>) {
    let life = &config.lifecycle;
    let told = &life.propagation;
    let (stop, total) = (Path::of("lifecycle.stopTimeout"), Path::of("lifecycle.totalStop"));
    let propagation = Path::of("lifecycle.propagation");
    let drain = Path::of("lifecycle.drainTimeout");
    let leave = Path::of("lifecycle.leaveReserve");
    let kill = Path::of("lifecycle.killReserve");
    let needed = budget(config, told.dwell.max(told.min_delay));
    for (path, given) in [(&stop, life.stop_timeout), (&total, life.total_stop)] {
        if needed.is_none_or(|needed| given < needed) {
            let needed = needed.map_or("more than can be counted".to_owned(), show);
            let message = format!(
                "{} is too short: the steps of a stop need {needed} ({})",
                show(given),
                parts(config)
            );
            rules.error([path, &propagation, &drain, &leave, &kill], message);
        }
    }
    let without_word = budget(config, told.dwell_unacked.max(told.min_delay));
    if without_word.is_some_and(|long| life.stop_timeout.min(life.total_stop) < long)
        && told.dwell_unacked > told.dwell
    {
        let message =
            "does not fit into the stop: when the servers cannot be asked, the drain is cut short";
        rules.warn(
            [&propagation.key("dwellUnacked"), &stop, &total, &propagation, &drain, &leave, &kill],
            message,
        );
    }
    if told.dwell_unacked < told.dwell {
        let message =
            "is shorter than dwell: without the servers' word, peers are given less time, not more";
        rules.warn([&propagation.key("dwellUnacked"), &propagation.key("dwell")], message);
    }
    if life.stop_timeout > LONGEST_STOP_ON_FARGATE {
        rules.warn(
            [&stop],
            "Fargate gives at most 2m; then ECS kills the container before we are done",
        );
    }
    if life.total_stop < life.stop_timeout {
        rules.warn(
            [&total, &stop],
            "is shorter than stopTimeout: a stop that others notice first ends by this",
        );
    }
}

/// What the steps of a stop take at the most, the apps' own time not counted.
fn budget(config: &Config, dwell: Duration) -> Option<Duration> {
    let life = &config.lifecycle;
    [dwell, life.drain_timeout, life.leave_reserve, life.kill_reserve]
        .into_iter()
        .try_fold(life.propagation.timeout, Duration::checked_add)
}

/// The steps of a stop, with their times.
pub(in crate::config) fn parts(config: &Config) -> String {
    let life = &config.lifecycle;
    let told = &life.propagation;
    let dwell = if told.dwell < told.min_delay { "minDelay" } else { "dwell" };
    format!(
        "propagation {} + {dwell} {} + drain {} + leave {} + kill {}",
        show(told.timeout),
        show(told.dwell.max(told.min_delay)),
        show(life.drain_timeout),
        show(life.leave_reserve),
        show(life.kill_reserve),
    )
}

/// What is left of `stopTimeout` for the apps themselves, when every other step takes as long as it may.
pub(crate) fn left_for_apps(config: &Config) -> Duration {
    let told = &config.lifecycle.propagation;
    let needed = budget(config, told.dwell.max(told.min_delay)).unwrap_or(Duration::MAX);
    config.lifecycle.stop_timeout.saturating_sub(needed)
}

fn show(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
