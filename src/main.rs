//! argv -> mode -> exit code. No mode exists yet.

fn main() {}
