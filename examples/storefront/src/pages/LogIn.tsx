import { useState, type FormEvent } from "react";
import { logIn } from "../login";
import { Page, Problem } from "../parts/basics";

const DEMO_PASSWORD = "open-sesame";
const DEMO_ACCOUNTS = {
  "customer@example.com": "Cosmo, a customer",
  "owner@example.com": "Odile, who owns three stores",
  "superuser@example.com": "Sunniva, who can do everything",
};

/** Shown instead of a page that requires a login, until the user logs in. */
export function LogInPage() {
  const [problem, setProblem] = useState<string>();

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setProblem(await logIn(String(form.get("email")), String(form.get("password"))));
  }

  return (
    <Page title="Log in">
      {problem && <Problem>{problem}</Problem>}
      <form className="login" onSubmit={submit}>
        <label>Email <input name="email" type="email" autoComplete="username" required /></label>
        <label>Password <input name="password" type="password" autoComplete="current-password" required /></label>
        <button className="main">Log in</button>
      </form>
      <h2>Or use a demo account</h2>
      <ul className="accounts">
        {Object.entries(DEMO_ACCOUNTS).map(([email, who]) => (
          <li key={email}>
            <button onClick={async () => setProblem(await logIn(email, DEMO_PASSWORD))}>{who}</button>
          </li>
        ))}
      </ul>
    </Page>
  );
}
