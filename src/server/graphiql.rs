//! `/graphiql`: a page to try the API, with its own assets (built by `scripts/web`) and a strict
//! Content-Security-Policy.

use std::borrow::Cow;
use std::fmt::Write;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

/// Scripts and styles of our own files only. `connect-src 'self'` covers the WebSocket of the same host; forms
/// are read by scripts, so none may be submitted.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The names of assets hold a hash of their content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>GraphiQL</title>\n\
     <h1>GraphiQL was not built</h1>\n<p>This server was built without its pages. Run <code>scripts/web</code> \
     (it needs Node.js 18 or newer), and then build the server again.</p>\n\
     <p>The API itself is at <code>/graphql</code>.</p>\n";

/// What `scripts/web` has built: nothing, where it has not run. Debug builds read it from the disk.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

/// A file of the page.
struct Asset {
    bytes: Cow<'static, [u8]>,
    etag: String,
}

impl Asset {
    fn find(name: &str) -> Option<Self> {
        Dist::get(name).map(Self::from)
    }
}

impl From<EmbeddedFile> for Asset {
    fn from(file: EmbeddedFile) -> Self {
        let mut etag = String::from('"');
        for byte in &file.metadata.sha256_hash()[..16] {
            write!(etag, "{byte:02x}").expect("a String takes everything");
        }
        Self { bytes: file.data, etag: etag + "\"" }
    }
}

/// `/graphiql` and what it loads; nothing at all unless `enabled`.
pub fn routes(enabled: bool) -> Router {
    if !enabled {
        return Router::new();
    }
    Router::new()
        .route("/graphiql", get(page))
        .route("/graphiql/licences.txt", get(licences))
        .route("/graphiql/assets/{name}", get(asset))
}

async fn page(headers: HeaderMap) -> Response {
    answer_page(Asset::find("index.html"), &headers)
}

async fn licences(headers: HeaderMap) -> Response {
    answer_file("licences.txt", ASK_AGAIN, Asset::find("licences.txt"), &headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    answer_file(&name, FOR_EVER, Asset::find(&format!("assets/{name}")), &headers)
}

fn answer_page(index: Option<Asset>, headers: &HeaderMap) -> Response {
    match index {
        Some(index) => answer_file("index.html", ASK_AGAIN, Some(index), headers),
        None => (StatusCode::NOT_FOUND, SECURITY, [(header::CACHE_CONTROL, "no-store")], Html(NOT_BUILT))
            .into_response(),
    }
}

fn answer_file(name: &str, caching: &'static str, asset: Option<Asset>, headers: &HeaderMap) -> Response {
    let Some(Asset { bytes, etag }) = asset else {
        return (StatusCode::NOT_FOUND, SECURITY).into_response();
    };
    let unchanged = is_current(headers, &etag);
    let about = [(header::ETAG, etag), (header::CACHE_CONTROL, caching.to_owned())];
    if unchanged {
        return (StatusCode::NOT_MODIFIED, SECURITY, about).into_response();
    }
    (SECURITY, about, [(header::CONTENT_TYPE, content_type(name))], bytes).into_response()
}

const SECURITY: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Whether the browser has this very version.
fn is_current(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|list| list.split(',')).any(|one| one.trim().trim_start_matches("W/") == etag)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{HeaderValue, Request};
    use tower::ServiceExt;

    use super::*;

    fn sample() -> Asset {
        Asset { bytes: Cow::Borrowed(b"<p>hello"), etag: "\"abc\"".into() }
    }

    fn header<'a>(response: &'a Response, name: &str) -> &'a str {
        response.headers()[name].to_str().unwrap()
    }

    async fn text(response: Response) -> String {
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    async fn get(enabled: bool, path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).unwrap();
        routes(enabled).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn the_page_allows_nothing_but_its_own_files() {
        let response = answer_page(Some(sample()), &HeaderMap::new());
        assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
        assert_eq!(header(&response, "cache-control"), "no-cache");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        let policy = header(&response, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(!policy.contains("unsafe"));
        assert_eq!(text(response).await, "<p>hello");
    }

    #[test]
    fn assets_are_cached_for_ever() {
        let response = answer_file("main-1A2B.js", FOR_EVER, Some(sample()), &HeaderMap::new());
        assert_eq!(header(&response, "content-type"), "text/javascript; charset=utf-8");
        assert_eq!(header(&response, "cache-control"), FOR_EVER);
    }

    #[test]
    fn a_browser_that_has_the_page_is_told_so() {
        let known = |etags| HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(etags))]);
        let status = |etags| answer_page(Some(sample()), &known(etags)).status();
        assert_eq!(status("\"old\", W/\"abc\""), StatusCode::NOT_MODIFIED);
        assert_eq!(status("\"old\""), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_page_that_was_not_built_says_how_to_build_it() {
        let response = answer_page(None, &HeaderMap::new());
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(header(&response, "content-security-policy"), POLICY);
        assert!(text(response).await.contains("scripts/web"));
    }

    #[tokio::test]
    async fn nothing_outside_of_the_page_is_served() {
        for path in ["/graphiql/assets/missing.js", "/graphiql/assets/..%2F..%2Fpackage.json"] {
            assert_eq!(get(true, path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn a_disabled_page_is_not_there() {
        let response = get(false, "/graphiql").await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(text(response).await, "");
    }
}
