//! The `envoy` executable: its arguments and version.

use crate::config;
use std::path::Path;

/// Arguments of the task's Envoy.
///
/// * `--disable-hot-restart`: two Envoys in one network namespace clash on the abstract socket of hot restart.
/// * `--drain-time-s 600 --drain-strategy immediate`: a short drain time cuts long TCP connections at every update of
///   their listener; with `immediate`, HTTP connections are closed from the drain's beginning all the same.
pub fn args(envoy: &config::Envoy, bootstrap: &Path) -> Vec<String> {
    let path = bootstrap.display().to_string();
    let concurrency = envoy.concurrency.to_string();
    let ours = [
        "-c",
        &path,
        "--concurrency",
        &concurrency,
        "--drain-time-s",
        "600",
        "--drain-strategy",
        "immediate",
        "--disable-hot-restart",
        "--log-level",
        &envoy.log_level,
    ];
    ours.into_iter().map(str::to_owned).chain(envoy.extra_args.iter().cloned()).collect()
}

/// Reads the output of `envoy --version`: `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`. Gives major, minor
/// and patch.
pub fn parse_version(output: &str) -> Option<(u32, u32, u32)> {
    let build = output.lines().find_map(|line| line.split_once("version:"))?.1;
    let version = build.trim().split('/').nth(1)?;
    // A development build is `1.41.0-dev`.
    let mut numbers = version.split(['.', '-']).map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_ours_first_then_the_users() {
        let envoy = config::Envoy {
            extra_args: vec!["--component-log-level".to_owned(), "upstream:debug".to_owned()],
            log_level: "info".to_owned(),
            ..config::Envoy::default()
        };
        assert_eq!(
            args(&envoy, Path::new("/run/x/envoy.json")).join(" "),
            "-c /run/x/envoy.json --concurrency 2 --drain-time-s 600 --drain-strategy immediate \
             --disable-hot-restart --log-level info --component-log-level upstream:debug"
        );
    }

    #[test]
    fn versions_of_releases_and_of_development_builds() {
        let release =
            "\n/usr/bin/envoy  version: 9e5580933739775e8b/1.40.0/Clean/RELEASE/BoringSSL\n\n";
        assert_eq!(parse_version(release), Some((1, 40, 0)));
        let dev = "envoy  version: 0/1.41.0-dev/Modified/DEBUG/BoringSSL";
        assert_eq!(parse_version(dev), Some((1, 41, 0)));
        assert_eq!(parse_version("envoy: not found"), None);
        assert_eq!(parse_version("version: abc"), None);
    }
}
