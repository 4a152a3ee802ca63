//! Paths and their answers. An error's body is a JSON string, as the agent's is since 1.71
//! (`aws/amazon-ecs-agent` `tmds/handlers/v4/handlers.go`).

use serde::Serialize;
use serde_json::json;

use super::body;
use crate::ecs::container::Surroundings;
use crate::ecs::state::{Shared, Status};

/// An answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: String,
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";

impl Answer {
    pub(super) fn json(status: u16, body: &impl Serialize) -> Self {
        // The agent answers so, too, when it cannot render a body.
        let body = serde_json::to_string(body).unwrap_or_else(|_| "{}".to_owned());
        Self { status, kind: JSON, body }
    }

    fn no_route() -> Self {
        Self { status: 404, kind: TEXT, body: "404 page not found\n".to_owned() }
    }

    /// What the agent says past its limit.
    pub(super) fn too_many() -> Self {
        let body = "You have reached maximum request limit.".to_owned();
        Self { status: 429, kind: TEXT, body }
    }
}

/// What a path under `/v4/<id>` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic {
    Container,
    Task,
    Stats,
    TaskStats,
}

fn topic(path: &str) -> Option<(&str, Topic)> {
    let rest = path.strip_prefix("/v4/")?;
    let (id, rest) = rest.split_once('/').map_or((rest, None), |(id, rest)| (id, Some(rest)));
    let topic = match rest {
        None => Topic::Container,
        Some("task" | "taskWithTags") => Topic::Task,
        Some("stats") => Topic::Stats,
        Some("task/stats") => Topic::TaskStats,
        Some(_) => return None,
    };
    (!id.is_empty()).then_some((id, topic))
}

fn unknown(id: &str, topic: Topic) -> Answer {
    let (kind, what) = match topic {
        Topic::Container => ("container metadata", "container ID"),
        Topic::Task => ("task metadata", "task arn"),
        Topic::Stats => ("container stats", "container ID"),
        Topic::TaskStats => ("task stats", "task arn"),
    };
    let why = match topic {
        Topic::Container | Topic::Stats => "unable to get docker ID from v3 endpoint ID",
        Topic::Task | Topic::TaskStats => "unable to get task Arn from v3 endpoint ID",
    };
    let text = format!("V4 {kind} handler: unable to get {what} from request: {why}: {id}");
    Answer::json(404, &text)
}

/// The agent's 404 for a path, whoever asks.
pub(super) fn not_found(path: &str) -> Answer {
    topic(path).map_or_else(Answer::no_route, |(id, topic)| unknown(id, topic))
}

/// The agent's 500 for a path.
pub(super) fn server_error(shared: &Shared, path: &str) -> Answer {
    let id = topic(path).map(|(id, topic)| (docker_id(shared, id).unwrap_or_default(), topic));
    let text = match id {
        Some((id, Topic::Container)) => format!("unable to generate metadata for container '{id}'"),
        Some((id, Topic::Stats)) => format!("Unable to get container stats for: {id}"),
        _ => format!("Unable to generate metadata for v4 task: '{}'", shared.task_arn()),
    };
    Answer::json(500, &text)
}

/// Ids are known once the container exists.
fn index_of(shared: &Shared, id: &str) -> Option<usize> {
    let state = shared.read();
    state.containers.iter().position(|c| c.endpoint_id == id && c.created_at.is_some())
}

fn docker_id(shared: &Shared, id: &str) -> Option<String> {
    let index = index_of(shared, id)?;
    Some(shared.read().containers[index].docker_id.clone())
}

/// The right answer.
pub(super) fn answer(shared: &Shared, around: &Surroundings, path: &str) -> Answer {
    if let Some(credentials) = &around.credentials
        && path.starts_with("/v2/credentials/")
    {
        return role(shared, path == credentials);
    }
    let Some((id, topic)) = topic(path) else { return Answer::no_route() };
    let Some(index) = index_of(shared, id) else { return unknown(id, topic) };
    match topic {
        Topic::Task => Answer::json(200, &body::task(shared, around)),
        Topic::Container => {
            let state = shared.read();
            Answer::json(200, &body::container(shared, around, &state, index))
        }
        Topic::Stats => Answer::json(200, &stats(shared, index)),
        Topic::TaskStats => {
            let ids: Vec<(usize, String)> = {
                let state = shared.read();
                let running = state.containers.iter().enumerate();
                let running = running.filter(|(_, c)| c.known == Status::Running);
                running.map(|(index, c)| (index, c.docker_id.clone())).collect()
            };
            let map: serde_json::Map<_, _> =
                ids.into_iter().map(|(index, id)| (id, stats(shared, index))).collect();
            Answer::json(200, &map)
        }
    }
}

/// Little more than the keys: no reader here needs the figures.
fn stats(shared: &Shared, index: usize) -> serde_json::Value {
    let state = shared.read();
    let container = &state.containers[index];
    json!({
        "read": jiff::Timestamp::now().to_string(),
        "id": container.docker_id,
        "name": container.docker_name,
        "cpu_stats": {"online_cpus": 2},
        "memory_stats": {},
    })
}

/// The task role's credentials. They go when the task is over.
fn role(shared: &Shared, known: bool) -> Answer {
    if !known || shared.read().all_stopped() {
        let body = json!({
            "code": "InvalidIdInRequest",
            "message": "CredentialsV2Request: Credentials not found",
            "HTTPErrorCode": 400,
        });
        return Answer::json(400, &body);
    }
    let account = &shared.spec.account;
    Answer::json(
        200,
        &json!({
            "RoleArn": format!("arn:aws:iam::{account}:role/task"),
            "AccessKeyId": "ASIATESTBED",
            "SecretAccessKey": "testbed",
            "Token": "testbed",
            "Expiration": "2099-01-01T00:00:00Z",
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_paths_have_a_topic() {
        assert_eq!(topic("/v4/a"), Some(("a", Topic::Container)));
        assert_eq!(topic("/v4/a/task"), Some(("a", Topic::Task)));
        assert_eq!(topic("/v4/a/task/stats"), Some(("a", Topic::TaskStats)));
        for path in ["/v4/a/", "/v4/a/task/", "/v4/", "/v3/a", "/v4/a/tasks"] {
            assert_eq!(topic(path), None, "{path}");
        }
    }

    #[test]
    fn an_unknown_id_is_told_as_a_json_string() {
        let answer = not_found("/v4/xyz/task");
        assert_eq!((answer.status, answer.kind), (404, JSON));
        assert_eq!(
            answer.body,
            "\"V4 task metadata handler: unable to get task arn from request: \
             unable to get task Arn from v3 endpoint ID: xyz\""
        );
    }
}
