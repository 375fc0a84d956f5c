import { useState, type ComponentProps, type FormEvent } from "react";
import { logIn, signUp, type Problems } from "../login";
import { Page, Problem } from "../parts/basics";

const DEMO_PASSWORD = "open-sesame";
const DEMO_ACCOUNTS = {
  "customer@example.com": "Cosmo, a customer",
  "owner@example.com": "Odile, who owns three stores",
  "superuser@example.com": "Sunniva, who can do everything",
};

/** Shown instead of a page that requires a login, until the user logs in or signs up. */
export function LogInPage() {
  const [isNew, setNew] = useState(false);
  const [problems, setProblems] = useState<Problems>();

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const account = { email: String(form.get("email")), password: String(form.get("password")) };
    setProblems(await (isNew ? signUp({ ...account, fullName: String(form.get("fullName")) }) : logIn(account)));
  }

  function change() {
    setNew(!isNew);
    setProblems(undefined);
  }

  return (
    <Page title={isNew ? "Sign up" : "Log in"}>
      {problems?.form && <Problem>{problems.form}</Problem>}
      <form className="login" onSubmit={submit}>
        {isNew && <Field label="Full name" name="fullName" autoComplete="name" problem={problems?.fullName} />}
        <Field label="Email" name="email" type="email" autoComplete="username" problem={problems?.email} />
        <Field
          label="Password"
          name="password"
          type="password"
          autoComplete={isNew ? "new-password" : "current-password"}
          problem={problems?.password}
        />
        <button className="main">{isNew ? "Sign up" : "Log in"}</button>
      </form>
      <p><button className="plain" onClick={change}>{isNew ? "I have an account" : "Create an account"}</button></p>
      <h2>Or use a demo account</h2>
      <ul className="accounts">
        {Object.entries(DEMO_ACCOUNTS).map(([email, who]) => (
          <li key={email}>
            <button onClick={async () => setProblems(await logIn({ email, password: DEMO_PASSWORD }))}>{who}</button>
          </li>
        ))}
      </ul>
    </Page>
  );
}

function Field({ label, problem, ...input }: { label: string; problem?: string } & ComponentProps<"input">) {
  return (
    <label>
      {label}
      <input required aria-invalid={problem !== undefined} {...input} />
      {problem && <span role="alert">{problem}</span>}
    </label>
  );
}
