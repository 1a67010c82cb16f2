//! Verify under contention, on the real store over real sockets.

use serde_json::{Value, json};

use crate::support::Gateway;

fn checks(gateway: &Gateway, otp: &Value, codes: &[String]) -> Vec<Value> {
    let path = format!("/v1/otp/{}/verify", otp["otpId"].as_str().unwrap());
    std::thread::scope(|scope| {
        let threads: Vec<_> = codes
            .iter()
            .map(|code| {
                let (mut client, path) = (gateway.client(), &path);
                scope.spawn(move || client.post_json(path, &json!({"otpCode": code})).expect(200).json())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn two_hundred_right_answers_give_one_success() {
    let gateway = Gateway::start();
    let otp = gateway
        .client()
        .post_json("/v1/otp", &json!({"number": "+4915112345678", "otpCode": "1234"}))
        .expect(200)
        .json();
    let verdicts = checks(&gateway, &otp, &vec!["1234".to_owned(); 200]);
    assert_eq!(verdicts.iter().filter(|verdict| verdict["verified"] == true).count(), 1);
    assert!(verdicts.iter().all(|verdict| verdict["otpStatus"] == "VERIFIED" && verdict["attemptCount"] == 1));
}

#[test]
fn a_hundred_wrong_answers_never_exceed_the_attempts() {
    let gateway = Gateway::start();
    for round in 0..5 {
        let body = json!({"number": format!("+491511234567{round}"), "otpCode": "1234"});
        let otp = gateway.client().post_json("/v1/otp", &body).expect(200).json();
        let mut codes = vec!["9999".to_owned(); 100];
        codes.push("1234".to_owned());
        let verdicts = checks(&gateway, &otp, &codes);
        assert!(verdicts.iter().all(|verdict| verdict["attemptCount"].as_u64().unwrap() <= 3));
        let successes = verdicts.iter().filter(|verdict| verdict["verified"] == true).count();
        let status = gateway.client().get(&format!("/v1/otp/{}", otp["otpId"].as_str().unwrap())).json();
        let expected = if successes == 1 { "VERIFIED" } else { "TOO_MANY_ATTEMPTS" };
        assert_eq!((successes <= 1, status["otpStatus"].as_str()), (true, Some(expected)));
    }
}
