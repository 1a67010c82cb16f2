//! What a start says that made the first connection: its key, once, and lines that can be pasted as they are: the indented ones. A pure function of its parts.

/// The number of the example. It belongs to nobody: Germany keeps 0171 39200xx for films (Bundesnetzagentur).
const NUMBER: &str = "+491713920000";

/// What was made, and where it is reached.
#[derive(Clone, Copy, Debug)]
pub struct FirstStart<'a> {
    /// What the API's addresses begin with, without a slash at the end.
    pub base_url: &'a str,
    /// What the admin listener's addresses begin with, without a slash at the end.
    pub admin_url: &'a str,
    /// The API key.
    pub key: &'a str,
}

/// The text for stdout.
#[must_use]
pub fn first_start(made: &FirstStart<'_>) -> String {
    let FirstStart { base_url, admin_url, key } = made;
    let number = NUMBER.replace('+', "%2B");
    format!(
        r#"
There was no connection yet, so this start made one, in the account "default" with its default application. Its API key is shown
this once.
These lines, pasted into a shell as they are, send a code, read it from the sandbox and verify it:

    KEY={key}
    OTP=$(curl -sS {base_url}/v1/otp -H "apikey: $KEY" -H 'Content-Type: application/json' \
      -d '{{"number":"{NUMBER}"}}' | sed -n 's/.*"otpId":"\([^"]*\)".*/\1/p'); sleep 1
    CODE=$(curl -sS '{admin_url}/sandbox/messages?number={number}' \
      | grep -o '"code":"[^"]*"' | head -n 1 | cut -d '"' -f 4); echo "the code is $CODE"
    curl -sS {base_url}/v1/otp/$OTP/verify -H "apikey: $KEY" -H 'Content-Type: application/json' \
      -d "{{\"otpCode\":\"$CODE\"}}"; echo

More keys: otpgate key create --name NAME. The interface: {base_url}/docs. The console: {admin_url}/.

"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A curl that answers as the gateway does, and writes down what it was asked.
    const CURL: &str = r#"
sleep() { :; }
curl() {
  case "$*" in
    *"/verify "*) printf 'asked:%s\n' "$*" ;;
    *sandbox*) printf '[{"otpId":"id-2","number":"+491713920000","text":"say \\"code\\":\\"9\\"","code":"012345","createdAt":"x"},{"otpId":"id-1","code":"999999"}]' ;;
    *) printf '{"otpId":"id-2","accountId":"default","number":"+491713920000"}' ;;
  esac
}
"#;

    #[test]
    fn the_lines_work_as_they_are_pasted() {
        let made =
            FirstStart { base_url: "http://127.0.0.1:8080", admin_url: "http://127.0.0.1:8081", key: "otpg_abc" };
        let text = first_start(&made);
        assert_eq!(text.matches("otpg_abc").count(), 1);
        // Every indented line is for the shell, and no other.
        let pasted: String =
            text.lines().filter(|line| line.starts_with("  ")).map(|line| format!("{line}\n")).collect();
        let output = Command::new("bash").arg("-c").arg(format!("set -eu\n{CURL}{pasted}")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(said.contains("the code is 012345\n"), "{said}");
        assert!(said.contains("asked:-sS http://127.0.0.1:8080/v1/otp/id-2/verify -H apikey: otpg_abc"), "{said}");
        assert!(said.contains(r#"-d {"otpCode":"012345"}"#), "{said}");
    }
}
