//! Whose address a request bears.

use super::Edge;

async fn peer(edge: &Edge, forwarded: &str) -> String {
    let request = format!("GET /peer HTTP/1.1\r\nHost: a\r\n{forwarded}\r\n");
    edge.raw().await.ask(request).await.body
}

#[tokio::test]
async fn forwarded_addresses_from_untrusted_peers_are_ignored() {
    let edge = Edge::start(|settings| settings.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]).await;
    assert_eq!(peer(&edge, "X-Forwarded-For: 192.0.2.1\r\n").await, "127.0.0.1 127.0.0.1 127.0.0.1");
    let edge = Edge::start(|_| {}).await;
    assert_eq!(peer(&edge, "X-Forwarded-For: 192.0.2.1\r\n").await, "127.0.0.1 127.0.0.1 127.0.0.1");
}

#[tokio::test]
async fn forwarded_addresses_from_trusted_peers_are_believed_from_the_right() {
    let trusted = ["127.0.0.1", "10.0.0.0/8"];
    let edge = Edge::start(|settings| {
        settings.trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
    })
    .await;
    for (forwarded, expected) in [
        ("", "127.0.0.1 127.0.0.1 127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1 192.0.2.1 127.0.0.1"),
        ("X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.1.1.1\r\n", "192.0.2.1 192.0.2.1 127.0.0.1"),
        (
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 2001:db8::1:2:3:4\r\n",
            "2001:db8::1:2:3:4 2001:db8:: 127.0.0.1",
        ),
    ] {
        assert_eq!(peer(&edge, forwarded).await, expected, "{forwarded}");
    }
}
