//! Images without a container engine: the `Dockerfile` itself is read, its stages become folders, and containers run in
//! them as in an image.
//!
//! What a `RUN` says is run, by a shell in the stage's own root. What cannot be had here is stood in for: base images by
//! a folder with the one program that is taken from them ([`Parts`]), compiler and package manager by scripts.
//!
//! | file | what it knows |
//! |---|---|
//! | `dockerfile` | the text: stages, steps, arguments |
//! | `build` | a stage's tree and configuration |
//! | `run` | `RUN` |
//! | `parts` | what stands in for base images, the compiler, and an app's image |
//! | `tree` | folders and files with their owners |
//! | `flaws` | what no image of ours may have |
//! | `place` | a task's containers in their images, with their volumes |

mod build;
mod dockerfile;
mod flaws;
mod parts;
mod place;
mod run;
mod tree;

pub use build::{Builder, Config, Image};
pub use dockerfile::{Dockerfile, Stage, Step};
pub use parts::Parts;
pub use place::{Placed, place};
