//! Tasks by the thousand, as ECS lists and describes them: page by page, which moto does not, and fast.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most that ECS gives or takes at once.
const PAGE: usize = 100;

/// The tasks of one cluster, by ARN, with their tags. They are listed in the order of their ARNs.
#[derive(Default)]
pub struct Fleet {
    tasks: BTreeMap<String, Vec<(String, String)>>,
    next: u64,
}

impl Fleet {
    /// One more task of a service; gives its ARN. It is the last of the list.
    pub fn run(&mut self, cluster: &str, service: &str) -> String {
        self.run_with(cluster, &[("mesh", "true"), ("service-name", service)])
    }

    /// The same with all of its tags, which all begin with `consul.hashicorp.com/`.
    pub fn run_with(&mut self, cluster: &str, tags: &[(&str, &str)]) -> String {
        let arn = format!("arn:aws:ecs:us-east-1:123456789012:task/{cluster}/{:032x}", self.next);
        self.next += 1;
        let tags = tags
            .iter()
            .map(|(key, value)| (format!("consul.hashicorp.com/{key}"), (*value).to_owned()));
        self.tasks.insert(arn.clone(), tags.collect());
        arn
    }

    /// Ends a task.
    pub fn stop(&mut self, arn: &str) {
        self.tasks.remove(arn);
    }

    /// What ECS answers; `None` for a call of another API.
    pub(super) fn answer(&self, call: &str, body: &[u8]) -> Option<Value> {
        let asked = || serde_json::from_slice::<Value>(body).unwrap_or_default();
        match call {
            "ListTasks" => Some(self.list(&asked())),
            "DescribeTasks" => Some(self.describe(&asked())),
            _ => None,
        }
    }

    fn list(&self, asked: &Value) -> Value {
        let after = asked["nextToken"].as_str().unwrap_or_default();
        let mut rest = self.tasks.keys().filter(|arn| arn.as_str() > after);
        let page: Vec<_> = rest.by_ref().take(PAGE).collect();
        let mut answer = json!({ "taskArns": page });
        if rest.next().is_some() {
            answer["nextToken"] = json!(page.last());
        }
        answer
    }

    fn describe(&self, asked: &Value) -> Value {
        let arns = asked["tasks"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let tasks = arns.filter_map(|arn| {
            let tags = self.tasks.get(arn)?.iter();
            let tags = tags.map(|(key, value)| json!({ "key": key, "value": value }));
            Some(json!({
                "taskArn": arn,
                "taskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/app:1",
                "tags": tags.collect::<Vec<_>>(),
            }))
        });
        json!({ "tasks": tasks.collect::<Vec<_>>(), "failures": [] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_listed_page_by_page_and_described_with_their_tags() {
        let mut fleet = Fleet::default();
        let all: Vec<_> = (0..250).map(|n| fleet.run("prod", &format!("s{n}"))).collect();
        let (mut listed, mut pages, mut asked) = (Vec::new(), 0, json!({}));
        loop {
            let answer = fleet.list(&asked);
            let arns = answer["taskArns"].as_array().expect("list").iter();
            listed.extend(arns.map(|arn| arn.as_str().expect("text").to_owned()));
            pages += 1;
            match answer.get("nextToken") {
                Some(token) => asked = json!({ "nextToken": token }),
                None => break,
            }
        }
        assert_eq!((listed, pages), (all.clone(), 3));
        let answer = fleet.describe(&json!({ "tasks": [all[7], "unknown"] }));
        assert_eq!(answer["tasks"].as_array().map(Vec::len), Some(1));
        assert_eq!(answer["tasks"][0]["tags"][1]["value"], "s7");
        fleet.stop(&all[7]);
        assert_eq!(fleet.list(&json!({}))["taskArns"][7], json!(all[8]));
    }
}
