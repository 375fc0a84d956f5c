import { useEffect, useRef, type CSSProperties, type ReactNode } from "react";
import { Link } from "wouter";
import { graphql, unmask, type FragmentType } from "../gql";

/** A page whose heading receives the focus on navigation, so that screen readers announce it. */
export function Page({ title, children }: { title: string; children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [title]);
  return (
    <main>
      <title>{`${title} · Marketplace`}</title>
      <h1 ref={heading} tabIndex={-1}>{title}</h1>
      {children}
    </main>
  );
}

/** Shown instead of something that doesn't exist, or that this user can't see. */
export function Missing({ what }: { what: string }) {
  return (
    <Page title={`${what} not found`}>
      <p>The link may be wrong, or it is no longer here. <Link href="/">Browse the catalog</Link></p>
    </Page>
  );
}

/** An error message, announced immediately. */
export function Problem({ children, retry }: { children: ReactNode; retry?: () => void }) {
  return (
    <div role="alert" className="problem">
      {children} {retry && <button onClick={() => retry()}>Try again</button>}
    </div>
  );
}

const Money = graphql(`
  fragment Money on Money { amount currency }
`);

export function Price({ of }: { of: FragmentType<typeof Money> }) {
  const { amount, currency } = unmask(Money, of);
  return <span className="price">{new Intl.NumberFormat("en", { style: "currency", currency }).format(amount)}</span>;
}

const AT = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

export function Moment({ at }: { at: string }) {
  return <time dateTime={at}>{AT.format(new Date(at))}</time>;
}

/** A number of things: "1 product", "2 products". */
export function counted(count: number, noun: string, isExact = true) {
  return `${count.toLocaleString("en")}${isExact ? "" : "+"} ${count === 1 ? noun : `${noun}s`}`;
}

/** A placeholder for the picture that the API doesn't have: the first letter, on a color derived from the name. */
export function Tile({ name }: { name: string }) {
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 0);
  return <div className="tile" style={{ "--hue": hue } as CSSProperties} aria-hidden="true">{name.charAt(0)}</div>;
}
