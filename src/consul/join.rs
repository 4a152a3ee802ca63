//! What an agent prints of a join that failed.

/// Why the agent could not join when it last tried, from the lines that it printed last: each address that it tried,
/// with the reason. Agents from 1.8.7 to 1.23 print them as a list, one below the other.
pub fn why_not_joined(lines: &[String]) -> Option<String> {
    // Old agents indent with a tab; current ones print `  | `, and the tab as Go writes it.
    let reason = |line: &str| {
        let line = line.trim_start_matches([' ', '|', '\t']);
        let line = line.strip_prefix(r"\t").unwrap_or(line).strip_prefix("* ")?;
        line.starts_with("Failed to ").then(|| line.to_owned())
    };
    let last = lines.iter().rposition(|line| reason(line).is_some())?;
    let mut reasons: Vec<_> = lines[..=last].iter().rev().map_while(|line| reason(line)).collect();
    reasons.reverse();
    Some(reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_of_real_agents_are_found() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let current = r"[WARN]  agent: (LAN) couldn't join: number_of_nodes=0
  error=
  | 2 errors occurred:
  | \t* Failed to resolve servers.example: lookup servers.example on 10.0.0.2:53: no such host
  | \t* Failed to join 10.0.0.9:8301: dial tcp 10.0.0.9:8301: connect: connection refused
  |
[WARN]  agent.router.manager: No servers available";
        let old = "[WARN]  agent: (LAN) couldn't join: number_of_nodes=0 error=\"2 errors occurred:
\t* Failed to resolve servers.example: lookup servers.example on 10.0.0.2:53: no such host
\t* Failed to join 10.0.0.9: dial tcp 10.0.0.9:8301: connect: connection refused

\"";
        let resolve = "lookup servers.example on 10.0.0.2:53: no such host";
        let join = "dial tcp 10.0.0.9:8301: connect: connection refused";
        for (text, port) in [(current, ":8301"), (old, "")] {
            let told = format!(
                "Failed to resolve servers.example: {resolve}; Failed to join 10.0.0.9{port}: {join}"
            );
            assert_eq!(why_not_joined(&lines(text)), Some(told));
        }
        assert_eq!(why_not_joined(&lines("[INFO] agent: (LAN) joining")), None);
    }
}
