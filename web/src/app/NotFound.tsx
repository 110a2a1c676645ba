import { Link } from '@tanstack/react-router';

export function NotFound() {
  return (
    <div className="empty">
      <div className="strong">There is no page at {location.pathname}</div>
      <p>
        Go to <Link to="/charts">Charts</Link> or <Link to="/data/collect">Collection</Link>.
      </p>
    </div>
  );
}
