//! The API server as the verbs see it: connection, kinds, namespaces.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use http::Request;
use http::header::ACCEPT;
use http_body_util::BodyExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersion, Status};
use serde_json::Value;

use crate::failure::{self, Failure};
use crate::verbs::agent_kubeconfig::server_url;
use crate::{endpoints, kubeconfig};

/// Where the API server is, and in which namespace to look.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// Kubeconfig to use; without it KUBECONFIG, then that of `meseta up` in its usual place.
    #[arg(long, global = true, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Control planes to use instead of the kubeconfig's; the next where one does not answer.
    #[arg(long, global = true, value_name = "URL", value_delimiter = ',', value_parser = server_url)]
    server: Vec<String>,
    /// Namespace; that of the context where it is not given.
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,
}

/// A client and the namespace in use.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Connection {
    /// Reads the kubeconfig; nothing is sent yet.
    pub(crate) async fn open(&self) -> Result<Server> {
        let path = self
            .kubeconfig
            .clone()
            .filter(|path| !path.as_os_str().is_empty())
            .unwrap_or_else(kubeconfig::usual_path);
        let file = Kubeconfig::read_from(&path).with_context(|| {
            format!(
                "cannot use the kubeconfig {}; `meseta up` writes one, `--kubeconfig` names another",
                path.display()
            )
        })?;
        let options = KubeConfigOptions { context: self.context.clone(), ..Default::default() };
        let mut config = kube::Config::from_custom_kubeconfig(file, &options)
            .await
            .with_context(|| format!("cannot use the kubeconfig {}", path.display()))?;
        // Whoever waits at a terminal wants to see the refusal, not minutes of silent retries.
        config.default_retry = false;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = if self.server.is_empty() {
            Client::try_from(config)?
        } else {
            endpoints::client(&config, &self.server)?
        };
        Ok(Server { client, namespace })
    }
}

/// Splits `task/a` and `task a` into kind and name.
pub(crate) fn kind_and_name(words: &[String]) -> Result<(&str, Option<&str>)> {
    match words {
        [word] => match word.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok((kind, Some(name))),
            Some(_) => Err(Failure::Usage(format!("`{word}` is not KIND/NAME")).into()),
            None => Ok((word, None)),
        },
        [kind, name] => Ok((kind, Some(name))),
        _ => Err(Failure::Usage("give KIND, KIND NAME or KIND/NAME".to_owned()).into()),
    }
}

/// A value that can stand in a query.
pub(crate) fn query_escape(value: &str) -> String {
    use std::fmt::Write as _;
    value.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(byte));
            }
            _ => write!(text, "%{byte:02X}").expect("a String takes everything"),
        }
        text
    })
}

/// A kind as the server serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
}

impl Kind {
    /// `tasks.meseta.dev`, as people write it.
    pub(crate) fn full_name(&self) -> String {
        self.qualified(&self.resource.plural)
    }

    /// `task.meseta.dev/name`, as kubectl prints it.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.qualified(&self.resource.kind.to_lowercase()))
    }

    fn qualified(&self, word: &str) -> String {
        if self.resource.group.is_empty() {
            word.to_owned()
        } else {
            format!("{word}.{}", self.resource.group)
        }
    }

    /// Path of the collection; all namespaces where none is given.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let ApiResource { group, version, plural, .. } = &self.resource;
        let root = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
            None => format!("{root}/{plural}"),
        }
    }

    /// Access to records of this kind, in `namespace` if the kind has namespaces.
    pub(crate) fn api(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        if self.namespaced {
            Api::namespaced_with(client.clone(), namespace, &self.resource)
        } else {
            Api::all_with(client.clone(), &self.resource)
        }
    }
}

impl Server {
    /// The kind people mean by `word`: `task`, `tasks`, `tsk`, `Task`, `tasks.meseta.dev`.
    pub(crate) async fn kind(&self, word: &str) -> Result<Kind> {
        let (word, wanted_group) = word.split_once('.').unwrap_or((word, ""));
        let word = word.to_lowercase();
        for version in self.group_versions().await? {
            if !wanted_group.is_empty() && version.group != wanted_group {
                continue;
            }
            if let Some(kind) = self.find(&version, |resource| answers_to(resource, &word)).await? {
                return Ok(kind);
            }
        }
        Err(Failure::NotFound(format!(
            "the server has no kind `{word}`; Meseta's are tasks, frameworks, agents, frameworkroles and offers"
        ))
        .into())
    }

    /// The kind of a record with this `apiVersion` and `kind`.
    pub(crate) async fn kind_of(&self, api_version: &str, kind: &str) -> Result<Kind> {
        let version: GroupVersion = api_version
            .parse()
            .map_err(|_| Failure::Usage(format!("`{api_version}` is not an apiVersion")))?;
        let found = match self.find(&version, |resource| resource.kind == kind).await {
            Err(error) if failure::status_code(&error) == Some(404) => None,
            found => found?,
        };
        found.ok_or_else(|| {
            let known = format!("{}/{}", meseta_crds::GROUP, meseta_crds::VERSION);
            Failure::NotFound(format!(
                "the server has no kind `{kind}` in `{api_version}`; Meseta's kinds are in `{known}`"
            ))
            .into()
        })
    }

    /// Sends a GET and gives the answer's body as it comes in.
    pub(crate) async fn stream(&self, path: &str, accept: &str) -> Result<Body> {
        let request = Request::get(path).header(ACCEPT, accept).body(Body::empty())?;
        let response = self.client.send(request).await?;
        let code = response.status();
        if code.is_success() {
            return Ok(response.into_body());
        }
        let bytes = response.into_body().collect().await?.to_bytes();
        let status = serde_json::from_slice(&bytes).unwrap_or_else(|_| Status {
            code: code.as_u16(),
            message: format!("the server answered {code}: {}", String::from_utf8_lossy(&bytes)),
            ..Default::default()
        });
        Err(kube::Error::Api(Box::new(status)).into())
    }

    /// Sends a GET and gives the whole answer, parsed.
    pub(crate) async fn fetch(&self, path: &str, accept: &str) -> Result<Value> {
        let bytes = self.stream(path, accept).await?.collect().await?.to_bytes();
        serde_json::from_slice(&bytes).context("the server's answer is not JSON")
    }

    async fn find(
        &self,
        version: &GroupVersion,
        wanted: impl Fn(&APIResource) -> bool,
    ) -> Result<Option<Kind>> {
        let list = if version.group.is_empty() {
            self.client.list_core_api_resources(&version.version).await
        } else {
            self.client.list_api_group_resources(&version.api_version()).await
        }
        .context("cannot ask the server for its kinds")?;
        let mut kinds = list.resources.iter().filter(|resource| !resource.name.contains('/'));
        Ok(kinds.find(|resource| wanted(resource)).map(|resource| Kind {
            resource: ApiResource {
                group: version.group.clone(),
                version: version.version.clone(),
                api_version: version.api_version(),
                kind: resource.kind.clone(),
                plural: resource.name.clone(),
            },
            namespaced: resource.namespaced,
        }))
    }

    /// Meseta's own first, as its words win.
    async fn group_versions(&self) -> Result<Vec<GroupVersion>> {
        let groups =
            self.client.list_api_groups().await.context("cannot ask the server for its kinds")?;
        let mut versions = vec![GroupVersion::gv(meseta_crds::GROUP, meseta_crds::VERSION)];
        versions.push(GroupVersion::gv("", "v1"));
        for group in groups.groups {
            let preferred = group.preferred_version.or_else(|| group.versions.first().cloned());
            let version = preferred.map(|version| GroupVersion::gv(&group.name, &version.version));
            versions.extend(version.filter(|version| version.group != meseta_crds::GROUP));
        }
        Ok(versions)
    }
}

fn answers_to(resource: &APIResource, word: &str) -> bool {
    resource.name == word
        || resource.singular_name == word
        || resource.kind.to_lowercase() == word
        || resource.short_names.iter().flatten().any(|short| short == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(group: &str, version: &str, namespaced: bool) -> Kind {
        let version = GroupVersion::gv(group, version);
        Kind {
            resource: ApiResource {
                group: version.group.clone(),
                version: version.version.clone(),
                api_version: version.api_version(),
                kind: "Task".to_owned(),
                plural: "tasks".to_owned(),
            },
            namespaced,
        }
    }

    #[test]
    fn paths_and_names_are_those_of_kubernetes() {
        let task = kind("meseta.dev", "v1alpha1", true);
        assert_eq!(task.path(Some("a")), "/apis/meseta.dev/v1alpha1/namespaces/a/tasks");
        assert_eq!(task.path(None), "/apis/meseta.dev/v1alpha1/tasks");
        assert_eq!(kind("", "v1", false).path(Some("a")), "/api/v1/tasks");
        assert_eq!(task.reference("x"), "task.meseta.dev/x");
        assert_eq!(kind("", "v1", false).reference("x"), "task/x");
    }

    #[test]
    fn a_kind_answers_to_its_names() {
        let resource = APIResource {
            name: "tasks".to_owned(),
            singular_name: "task".to_owned(),
            kind: "Task".to_owned(),
            short_names: Some(vec!["tsk".to_owned()]),
            ..Default::default()
        };
        assert!(["tasks", "task", "tsk"].iter().all(|word| answers_to(&resource, word)));
        assert!(!answers_to(&resource, "ta"));
    }
}
