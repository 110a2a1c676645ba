import '@fontsource/ibm-plex-mono/latin-400.css';
import '@fontsource/ibm-plex-mono/latin-500.css';
import '@fontsource/ibm-plex-sans/latin-400.css';
import '@fontsource/ibm-plex-sans/latin-500.css';
import '@fontsource/ibm-plex-sans/latin-600.css';
import './theme/base.css';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Gate } from './app/Gate';
import { preloadPage, router } from './app/router';
import { openSession } from './app/session';
import { useSettings } from './shared/settings';
import { ThemeProvider } from './theme/ThemeProvider';

// The key leaves the address before the router, or anybody else, reads it.
const session = openSession();
session.catch(() => undefined); // Shown by the gate.
preloadPage();

const queries = new QueryClient({ defaultOptions: { queries: { retry: 1, refetchOnWindowFocus: false } } });

function App() {
  const { theme, palette, hollow, density } = useSettings();
  return (
    <ThemeProvider theme={theme} palette={palette} hollow={hollow} density={density}>
      <QueryClientProvider client={queries}>
        <Gate session={session}>
          <RouterProvider router={router} />
        </Gate>
      </QueryClientProvider>
    </ThemeProvider>
  );
}

const root = document.getElementById('root');
if (!root) throw new Error('the page has no element #root');
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
