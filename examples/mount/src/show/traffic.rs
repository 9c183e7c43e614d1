//! What goes between a mount and its bucket, as text for people.

use serde_json::Value;

use crate::bytes::human;

/// How the way to the bucket is.
pub(crate) fn connection(connection: &Value) -> String {
    let text = |name: &str| connection.get(name).and_then(Value::as_str);
    let secs = connection.get("secs").and_then(Value::as_u64);
    let state = text("state").unwrap_or("?");
    match text("why") {
        Some(why) => format!("connection: {state} for {} s: {why}", secs.unwrap_or(0)),
        None => format!("connection: {state}"),
    }
}

pub(super) fn requests(status: &Value) -> Vec<String> {
    let operations = status
        .pointer("/requests/operations")
        .and_then(Value::as_object);
    let count = |operation: &Value, name: &str| operation.get(name).and_then(Value::as_u64);
    (operations.into_iter().flatten())
        .filter_map(|(name, operation)| {
            let requests = count(operation, "requests").filter(|requests| *requests > 0)?;
            let errors: u64 = operation
                .get("errors")
                .and_then(Value::as_object)
                .map_or(0, |errors| errors.values().filter_map(Value::as_u64).sum());
            Some(format!(
                "requests: {name} {requests}, {errors} failed, {} in, {} out",
                human(count(operation, "bytes_in").unwrap_or(0)),
                human(count(operation, "bytes_out").unwrap_or(0)),
            ))
        })
        .collect()
}

/// What the requests come to, if prices are known.
pub(super) fn cost(status: &Value) -> Option<String> {
    let cost = status.get("cost")?;
    let number = |name: &str| cost.get(name).and_then(Value::as_u64).unwrap_or(0);
    let dollars = cost.get("dollars")?.as_f64()?;
    Some(format!(
        "cost: ${dollars:.4} since the start at the prices given ({} writing or listing, {} reading, {} free requests, {} out); not a bill",
        number("put_class"),
        number("get_class"),
        number("free"),
        human(number("bytes_out")),
    ))
}

/// Who tells what others change.
pub(super) fn feeds(status: &Value) -> Vec<String> {
    let feeds = status.get("feeds").and_then(Value::as_array);
    let line = |feed: &Value| {
        let text = |name: &str| feed.get(name).and_then(Value::as_str);
        let news = feed.get("news").and_then(Value::as_u64).unwrap_or(0);
        let mut line = format!(
            "changes of others: {news} told by {}",
            text("kind").unwrap_or("?")
        );
        if let Some(error) = text("error") {
            line.push_str(&format!("; now it fails: {error}"));
        }
        line
    };
    feeds.into_iter().flatten().map(line).collect()
}

/// How fast it went; nothing if nothing did.
pub(super) fn throughput(status: &Value) -> Option<String> {
    let number = |name: &str| status.pointer(&format!("/throughput/{name}"))?.as_u64();
    let (bytes_in, bytes_out) = (number("bytes_in")?, number("bytes_out")?);
    (bytes_in + bytes_out > 0).then(|| {
        format!(
            "over the last {} s: {}/s out, {}/s in",
            number("seconds").unwrap_or(0),
            human(bytes_out),
            human(bytes_in)
        )
    })
}
