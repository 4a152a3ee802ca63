//! Standard output of the commands: lines, and colours where somebody can see them.

use std::env;
use std::io::{self, IsTerminal, Write};

use owo_colors::{OwoColorize, Style};

/// Standard output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) colour: bool,
}

impl Screen {
    /// Colours on a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    pub(crate) fn new() -> Self {
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: io::stdout().is_terminal() && !dumb && !unwanted }
    }

    /// One line. Where nobody reads any more nothing is lost by not writing it.
    pub(crate) fn line(self, text: &str) {
        // Kept by the harness, which shows it where the test fails.
        if cfg!(test) {
            return println!("{text}");
        }
        let mut out = io::stdout().lock();
        _ = writeln!(out, "{text}").and_then(|()| out.flush()).is_ok();
    }

    /// What is done now.
    pub(crate) fn step(self, text: &str) {
        self.line("");
        self.line(&self.bold(text));
    }

    pub(crate) fn good(self, text: &str) {
        self.line(&self.paint(text, Style::new().green().bold()));
    }

    pub(crate) fn bad(self, text: &str) {
        self.line(&self.paint(text, Style::new().red().bold()));
    }

    pub(crate) fn dim(self, text: &str) {
        self.line(&self.paint(text, Style::new().dimmed()));
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint(text, Style::new().bold())
    }

    pub(crate) fn paint(self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }
}
