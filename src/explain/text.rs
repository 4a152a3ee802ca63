//! The explanation for people: headings, words wrapped at 80 columns, and JSON blocks, which are not wrapped.

use super::report::{Explanation, Program};
use serde_json::Value;

const WIDTH: usize = 80;

/// All of it.
pub(super) fn render(e: &Explanation) -> String {
    let mut page = Page::default();
    sources(&mut page, e);
    task(&mut page, e);
    agent(&mut page, e);
    registration(&mut page, e);
    envoy(&mut page, e);
    stop(&mut page, e);
    page.0
}

fn sources(page: &mut Page, e: &Explanation) {
    page.heading("Configuration");
    for given in &e.given {
        page.item(&format!("{} gives {}", given.source, given.keys.join(", ")));
    }
    page.words("Everything else is a default; check-config --print shows all values.");
    for warning in &e.warnings {
        page.item(&format!("warning: {warning}"));
    }
    for note in &e.notes {
        page.item(&format!("note: {note}"));
    }
    if e.secrets.is_empty() {
        page.words("It refers to no secrets.");
    }
    for secret in &e.secrets {
        let readable = match &secret.unreadable {
            None => "readable here".to_owned(),
            Some(why) => format!("not readable here: {why}"),
        };
        page.item(&format!(
            "secret {}: {}, {readable}; {}",
            secret.path, secret.from, secret.purpose
        ));
    }
}

fn task(page: &mut Page, e: &Explanation) {
    page.heading("Task");
    if let Some(why) = &e.task.why_not {
        page.words(&format!(
            "Not known here: {why}. What follows is written for a made-up task; in a real one \
             its own ID, ARN, family, revision and address stand in these places."
        ));
    }
    page.item(&format!("task {}", e.task.arn));
    page.item(&format!("ID {}", e.task.id));
    page.item(&format!("definition {}", e.task.definition));
    let address = match &e.task.ipv4 {
        Some(address) => address.clone(),
        None => "none; the agent starts when the metadata shows one".to_owned(),
    };
    page.item(&format!("address {address}"));
}

fn agent(page: &mut Page, e: &Explanation) {
    let agent = &e.agent;
    page.heading("Consul agent");
    page.words(&match &agent.consul_version {
        Some(version) => {
            format!("Written for Consul {version}, from {}.", agent.consul_version_from)
        }
        None => format!(
            "Written for the newest Consul, for the version is not known here: {}. \
             --consul-version X.Y.Z explains for another.",
            agent.consul_version_from
        ),
    });
    page.command(&agent.command);
    page.words("The file that taskmesh writes, mode 0600:");
    page.json(&agent.config);
    for file in &agent.extra_config_files {
        page.item(&format!("then {}, as it is there", file.display()));
    }
    if let Some(told) = &agent.extra_config {
        page.item(&format!("last {told}"));
    }
}

fn registration(page: &mut Page, e: &Explanation) {
    let registration = &e.registration;
    page.heading("Registration");
    page.words(&format!("Calls to the agent at {}; {}.", registration.api, registration.token));
    page.item(&format!("service {}", registration.service_id));
    page.item(&format!("proxy {}", registration.proxy_id));
    let synced = match registration.synced_containers.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    page.item(&format!("containers with a TTL check: {synced}. {}", registration.containers_note));
    for check in &registration.ttl_checks {
        page.item(&format!("TTL check {check}"));
    }
    page.item(if registration.held_until_port_accepts {
        "it is in maintenance until the app's port accepts connections (and, if the app has an ECS \
         health check, until that is healthy)"
    } else {
        "it is not held in maintenance: its own checks say when peers may call"
    });
    let mut when = "";
    for call in &registration.calls {
        if call.when != when {
            page.gap();
            page.words(&format!("{}:", capital(&call.when)));
            when = &call.when;
        }
        page.line(&format!("{} {}", call.method, call.path));
        if let Some(body) = &call.body {
            page.json(body);
        }
    }
}

fn envoy(page: &mut Page, e: &Explanation) {
    page.heading("Envoy");
    page.words("Its bootstrap is printed by Consul, edited, and written with mode 0600:");
    page.command(&e.envoy.bootstrap);
    page.words("Then:");
    page.command(&e.envoy.run);
    page.item(&format!("token {}", e.envoy.token));
}

fn stop(page: &mut Page, e: &Explanation) {
    let stop = &e.stop;
    page.heading("Stop");
    page.words(&format!("Inbound is {}: {}.", stop.inbound, stop.inbound_note));
    for step in &stop.steps {
        let limit =
            step.at_most.as_ref().map_or(String::new(), |limit| format!(" (at most {limit})"));
        page.item(&format!("{}{limit}: {}", step.step, step.what));
    }
    page.words(&format!(
        "{} of stopTimeout {} are spoken for; {} are left for the apps. Whoever notices the stop \
         first, taskmesh exits within {}.",
        stop.needed, stop.stop_timeout, stop.left_for_apps, stop.total_stop
    ));
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// The text so far.
#[derive(Default)]
struct Page(String);

impl Page {
    fn heading(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.gap();
        }
        self.line_of(title);
        self.line_of(&"=".repeat(title.len()));
    }

    fn gap(&mut self) {
        self.0.push('\n');
    }

    fn line_of(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// One line, never broken: it is to be copied.
    fn line(&mut self, text: &str) {
        self.line_of(&format!("  {text}"));
    }

    fn words(&mut self, text: &str) {
        self.wrapped("", "", text);
    }

    fn item(&mut self, text: &str) {
        self.wrapped("- ", "  ", text);
    }

    /// A command, one argument a line after the first, with the backslashes that a shell needs.
    fn command(&mut self, program: &Program) {
        let mut lines = vec![quoted(&program.program.display().to_string())];
        for arg in &program.args {
            let arg = quoted(arg);
            match lines.last_mut() {
                Some(last) if last.len() + arg.len() + 5 <= WIDTH => {
                    last.push(' ');
                    last.push_str(&arg);
                }
                _ => lines.push(format!("  {arg}")),
            }
        }
        self.line(&lines.join(" \\\n  "));
    }

    fn json(&mut self, value: &Value) {
        for line in format!("{value:#}").lines() {
            self.line(line);
        }
    }

    /// A word that is longer than a line stays whole.
    fn wrapped(&mut self, first: &str, others: &str, text: &str) {
        let mut line = first.to_owned();
        let mut empty = true;
        for word in text.split_whitespace() {
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line_of(&line);
                line = others.to_owned();
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.line_of(&line);
    }
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_long_ones_stay_whole() {
        let mut page = Page::default();
        let long = "x".repeat(90);
        page.item(&format!("{} {long} end", "word ".repeat(20)));
        let lines: Vec<_> = page.0.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], format!("- {}", "word ".repeat(15).trim_end()));
        assert_eq!(lines[1], format!("  {}", "word ".repeat(5).trim_end()));
        assert_eq!((lines[2], lines[3]), (format!("  {long}").as_str(), "  end"));
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let mut page = Page::default();
        let args = ["-a=b", "it's", "", &"y".repeat(80)].map(str::to_owned).to_vec();
        page.command(&Program { program: "/bin/x y".into(), args });
        let expected = format!("  '/bin/x y' -a=b 'it'\\''s' '' \\\n    {}\n", "y".repeat(80));
        assert_eq!(page.0, expected);
    }
}
