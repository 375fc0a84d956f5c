import { StrictMode, useMemo, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { Provider } from "urql";
import { Link, Redirect, Route, Switch } from "wouter";
import { useBasket } from "./basket";
import { shopClient } from "./client";
import { login, logOut } from "./login";
import { BasketPage } from "./pages/Basket";
import { CatalogPage } from "./pages/Catalog";
import { LogInPage } from "./pages/LogIn";
import { OrderPage } from "./pages/Order";
import { OrdersPage } from "./pages/Orders";
import { ProductPage } from "./pages/Product";
import { SellingPage } from "./pages/Selling";
import { StorePage } from "./pages/Store";
import { StoreOrdersPage } from "./pages/StoreOrders";
import { counted, Page } from "./parts/basics";
import "./style.css";

function Storefront() {
  const userId = login.use()?.user.id;
  const client = useMemo(shopClient, [userId]);
  return (
    <Provider key={userId} value={client}>
      <Header />
      <Switch>
        <Route path="/" component={CatalogPage} />
        <Route path="/products/:id">{({ id }) => <ProductPage key={id} id={id} />}</Route>
        <Route path="/basket" component={BasketPage} />
        <Route path="/checkout"><LoggedIn><Redirect to="/basket" /></LoggedIn></Route>
        <Route path="/log-in"><LoggedIn><Redirect to="/" /></LoggedIn></Route>
        <Route path="/orders"><LoggedIn><OrdersPage /></LoggedIn></Route>
        <Route path="/orders/:id">{({ id }) => <LoggedIn><OrderPage key={id} id={id} /></LoggedIn>}</Route>
        <Route path="/stores/:id">{({ id }) => <StorePage key={id} id={id} />}</Route>
        <Route path="/selling"><LoggedIn><SellingPage /></LoggedIn></Route>
        <Route path="/selling/:id">{({ id }) => <LoggedIn><StoreOrdersPage key={id} id={id} /></LoggedIn>}</Route>
        <Route><Page title="Page not found"><Link href="/">Go to the catalog</Link></Page></Route>
      </Switch>
    </Provider>
  );
}

/** Shows its children to logged-in users and the log-in page to everyone else. */
function LoggedIn({ children }: { children: ReactNode }) {
  return login.use() ? children : <LogInPage />;
}

function Header() {
  const user = login.use()?.user;
  const count = Object.values(useBasket().quantities).reduce((sum, quantity) => sum + quantity, 0);
  return (
    <header>
      <Link href="/" className="brand">Marketplace</Link>
      <nav aria-label="Pages">
        <Tab to="/">Catalog</Tab>
        {user && <Tab to="/orders">My orders</Tab>}
        {user && user.stores.totalCount > 0 && <Tab to="/selling">Your stores</Tab>}
        <Tab to="/basket">
          Basket <span role="status" aria-label={`${counted(count, "item")} in the basket`} className="count">{count}</span>
        </Tab>
        {user
          ? <button className="plain" onClick={logOut} title={user.fullName}>Log out</button>
          : <Tab to="/log-in">Log in</Tab>}
      </nav>
    </header>
  );
}

function Tab({ to, children }: { to: string; children: ReactNode }) {
  return <Link href={to} className={(isActive) => (isActive ? "active" : "")}>{children}</Link>;
}

const root = document.getElementById("root");
if (root) createRoot(root).render(<StrictMode><Storefront /></StrictMode>);
